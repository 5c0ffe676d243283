//! The emulator's time: the machine's, or one that stands still until a test moves it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// The time that everything in the emulator goes by: visibility, delays, retention, long polls, the date of answers
/// and the age of signatures. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    base: Base,
    /// What was added with [`Clock::advance`].
    ahead: Arc<watch::Sender<Duration>>,
}

#[derive(Clone, Copy, Debug)]
enum Base {
    Running,
    Frozen(Timestamp),
}

impl Default for Clock {
    /// A running clock.
    fn default() -> Self {
        Self::new(Base::Running)
    }
}

impl Clock {
    /// The machine's clock; it can be moved ahead of it.
    #[must_use]
    pub fn running() -> Self {
        Self::new(Base::Running)
    }

    /// A clock that stands at that moment until it is moved.
    #[must_use]
    pub fn frozen_at(moment: Timestamp) -> Self {
        Self::new(Base::Frozen(moment))
    }

    fn new(base: Base) -> Self {
        Self { base, ahead: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }

    /// The moment it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let base = match self.base {
            Base::Running => Timestamp::now(),
            Base::Frozen(moment) => moment,
        };
        later(base, *self.ahead.borrow())
    }

    /// Moves the clock ahead and wakes whatever was due in between. [`Emulator::advance`](crate::Emulator::advance)
    /// also waits until the long polls have been answered that end thereby.
    pub fn advance(&self, by: Duration) {
        self.ahead.send_modify(|ahead| *ahead = ahead.saturating_add(by));
    }

    /// Waits until it is that moment.
    pub(crate) async fn sleep_until(&self, moment: Timestamp) {
        let mut ahead = self.ahead.subscribe();
        loop {
            // Marked before the look at the clock, so that a move in between wakes the wait below.
            ahead.mark_unchanged();
            let Ok(left) = Duration::try_from(moment.duration_since(self.now())) else { return };
            if left.is_zero() {
                return;
            }
            let running = matches!(self.base, Base::Running);
            tokio::select! {
                _ = ahead.changed() => {}
                () = tokio::time::sleep(left), if running => {}
            }
        }
    }
}

/// So much later, or the last moment there is: a clock can be moved as far as that.
pub(crate) fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frozen_clock_wakes_its_sleepers_when_it_is_moved_past_them() {
        let clock = Clock::frozen_at(Timestamp::UNIX_EPOCH);
        let due = Timestamp::from_second(30).unwrap();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(due).await }
        });
        clock.advance(Duration::from_secs(29));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.now(), due);
    }

    #[tokio::test]
    async fn a_running_clock_can_be_moved_ahead() {
        let clock = Clock::running();
        let due = clock.now() + Duration::from_secs(3600);
        clock.advance(Duration::from_secs(3601));
        clock.sleep_until(due).await;
        assert!(clock.now() > due);
    }
}
