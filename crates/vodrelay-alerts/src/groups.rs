//! Which of what is seen is told now: the first at once, then at most one message every few minutes for each kind and
//! subject, with the number of what happened meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::alert::{Alert, State, title};
use crate::kind::Kind;
use crate::sight::{Finding, Seen, Sight};

/// Between two messages of a kind about the same subject; that something is over is told at once.
pub(crate) const PAUSE: Duration = Duration::from_secs(300);

/// Everything that was seen and may have to be told.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<(Kind, String), Group>);

#[derive(Debug, Default)]
struct Group {
    /// When something was told last, by the steady clock.
    told_at: Option<Duration>,
    /// Since when it is wrong, if it is …
    on_since: Option<Timestamp>,
    /// … and whether that was told.
    told: bool,
    /// Since when it was wrong when that was seen first since the last message.
    first_on: Option<Timestamp>,
    /// How often it became wrong since the last message.
    onsets: u64,
    /// How often it happened since the last message, and when first.
    times: u64,
    first_at: Option<Timestamp>,
    finding: Option<Finding>,
}

impl Groups {
    /// Takes in one look, and answers what is to be told now. What lasts and was not looked at any more is forgotten.
    pub(crate) fn take(&mut self, sights: Vec<Sight>, now: Timestamp, steady: Duration) -> Vec<Alert> {
        let mut looked_at = Vec::with_capacity(sights.len());
        for Sight { kind, subject, seen } in sights {
            let key = (kind, subject);
            match seen {
                Seen::Off | Seen::Unclear if !self.0.contains_key(&key) => continue,
                seen => self.0.entry(key.clone()).or_default().see(seen, now),
            }
            looked_at.push(key);
        }
        let mut told = Vec::new();
        self.0.retain(|key, group| {
            if group.on_since.is_some() && !looked_at.contains(key) {
                return false;
            }
            told.extend(group.due(key, now, steady));
            group.is_of_use(steady)
        });
        told
    }
}

impl Group {
    fn see(&mut self, seen: Seen, now: Timestamp) {
        match seen {
            Seen::On(finding) => {
                if self.on_since.is_none() {
                    self.on_since = Some(now);
                    self.first_on.get_or_insert(now);
                    self.onsets += 1;
                }
                self.finding = Some(finding);
            }
            Seen::Off => self.on_since = None,
            Seen::Unclear => {}
            Seen::Times(0, _) => {}
            Seen::Times(count, finding) => {
                self.times += count;
                self.first_at.get_or_insert(now);
                self.finding = Some(finding);
            }
        }
    }

    fn due(&mut self, key: &(Kind, String), now: Timestamp, steady: Duration) -> Option<Alert> {
        let quiet = self.told_at.is_some_and(|told_at| steady.saturating_sub(told_at) < PAUSE);
        let (state, since, count) = match (self.on_since, self.told) {
            (Some(since), false) if !quiet => (State::Firing, since, self.onsets),
            // It may have come and gone while nothing was told.
            (None, true) => (State::Resolved, self.first_on?, self.onsets),
            (None, false) if self.onsets > 0 && !quiet => (State::Resolved, self.first_on?, self.onsets),
            _ if self.times > 0 && !quiet => (State::Happened, self.first_at?, self.times),
            _ => return None,
        };
        let finding = self.finding.clone();
        let alert = alert(key, state, (since, now), count, finding);
        if state != State::Resolved || !self.told {
            self.told_at = Some(steady);
        }
        self.told = state == State::Firing;
        (self.onsets, self.times, self.first_at) = (0, 0, None);
        if state != State::Firing {
            self.first_on = None;
        }
        Some(alert)
    }

    fn is_of_use(&self, steady: Duration) -> bool {
        let recent = self.told_at.is_some_and(|told_at| steady.saturating_sub(told_at) < PAUSE);
        recent || self.told || self.on_since.is_some() || self.onsets > 0 || self.times > 0
    }
}

fn alert(
    (kind, subject): &(Kind, String),
    state: State,
    (since, at): (Timestamp, Timestamp),
    count: u64,
    finding: Option<Finding>,
) -> Alert {
    // Of what is over, only the headline still holds.
    let finding = finding.filter(|_| state != State::Resolved);
    Alert {
        kind: *kind,
        subject: (!subject.is_empty()).then(|| subject.clone()),
        state,
        title: title(*kind, state, subject, count),
        what: finding.as_ref().map(|finding| finding.what.clone()),
        since,
        at,
        count: count.max(1),
        next: finding.map(|finding| finding.next).filter(|next| !next.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use vodrelay_core::Clock;
    use vodrelay_core::testing::ManualClock;

    use super::*;

    /// What is seen at each step, seconds apart, and the headlines that it leads to.
    #[track_caller]
    fn check(steps: &[(u64, Seen, &[&str])]) {
        let (clock, mut groups) = (ManualClock::default(), Groups::default());
        for (number, (seconds, seen, expect)) in steps.iter().enumerate() {
            clock.advance(Duration::from_secs(*seconds));
            let kind = if matches!(seen, Seen::Times(..)) { Kind::DeadLetter } else { Kind::SinkDown };
            let sights = vec![Sight::new(kind, "cms", seen.clone())];
            let told = groups.take(sights, clock.now(), clock.steady());
            let titles: Vec<&str> = told.iter().map(|alert| alert.title.as_str()).collect();
            assert_eq!(titles, *expect, "step {number}");
        }
    }

    fn on() -> Seen {
        Seen::On(Finding::new("it fails", "look"))
    }

    fn times(count: u64) -> Seen {
        Seen::Times(count, Finding::new("it was given up", "look"))
    }

    const DOWN: &str = "sink cms is down";
    const UP: &str = "sink cms takes deliveries again";

    #[test]
    fn what_lasts_is_told_at_once_and_once_and_its_end_at_once() {
        check(&[
            (0, Seen::Off, &[]),
            (5, on(), &[DOWN]),
            (5, on(), &[]),
            (9_000, on(), &[]),
            (5, Seen::Unclear, &[]),
            (5, Seen::Off, &[UP]),
            (5, Seen::Off, &[]),
            (5, on(), &[DOWN]),
        ]);
    }

    #[test]
    fn what_comes_and_goes_is_told_once_in_five_minutes_with_how_often() {
        check(&[
            (0, on(), &[DOWN]),
            (5, Seen::Off, &[UP]),
            (5, on(), &[]),
            (5, Seen::Off, &[]),
            (5, on(), &[]),
            (275, on(), &[]),
            (10, on(), &["sink cms is down (2 times since the last message)"]),
            (5, Seen::Off, &[UP]),
            (5, on(), &[]),
            (5, Seen::Off, &[]),
            (5, on(), &[]),
            (5, Seen::Off, &[]),
            (300, Seen::Off, &["sink cms takes deliveries again (2 times since the last message)"]),
        ]);
    }

    #[test]
    fn what_happens_often_is_told_at_once_and_then_summed_up() {
        let (first, then) = ("sink cms: 1 delivery given up", "sink cms: 1500 deliveries given up");
        check(&[
            (0, times(1), &[first]),
            (5, times(1_000), &[]),
            (5, times(0), &[]),
            (100, times(500), &[]),
            (190, times(0), &[then]),
            (400, times(0), &[]),
            (5, times(1), &[first]),
        ]);
    }

    #[test]
    fn a_sink_that_is_gone_from_the_configuration_is_told_no_more() {
        let (clock, mut groups) = (ManualClock::default(), Groups::default());
        let sights = vec![Sight::new(Kind::SinkDown, "cms", on())];
        assert_eq!(groups.take(sights, clock.now(), clock.steady()).len(), 1);
        clock.advance(PAUSE);
        assert_eq!(groups.take(Vec::new(), clock.now(), clock.steady()), []);
        assert!(groups.0.is_empty());
    }

    #[test]
    fn a_message_says_since_when_and_what_to_do() {
        let (clock, mut groups) = (ManualClock::default(), Groups::default());
        let mut take = |seen: Seen| {
            clock.advance(Duration::from_secs(60));
            let sights = vec![Sight::new(Kind::SinkDown, "cms", seen)];
            groups.take(sights, clock.now(), clock.steady()).pop().unwrap().text("relay-1")
        };
        assert_eq!(
            take(on()),
            "[vodrelay relay-1] sink cms is down\nit fails\n\
             since 2023-11-14T22:14:20Z, told 2023-11-14T22:14:20Z\nnext: look"
        );
        assert_eq!(
            take(Seen::Off),
            "[vodrelay relay-1] sink cms takes deliveries again\n\
             since 2023-11-14T22:14:20Z, told 2023-11-14T22:15:20Z"
        );
    }
}
