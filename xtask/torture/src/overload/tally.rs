//! What came of the callbacks that were sent: how many of each answer, how long the accepted ones took.

use std::collections::BTreeMap;
use std::time::Duration;

/// How one event ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// The last answer, where there was one.
    pub(crate) status: Option<u16>,
    pub(crate) attempts: usize,
    /// How long the last attempt took, …
    pub(crate) took: Duration,
    /// … and when it was over, from the beginning of all.
    pub(crate) at: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// For how long events were offered.
    pub(crate) time: Duration,
    pub(crate) offered: usize,
    /// How many were due, and not sent: the senders were late, or had as many under way as they may.
    pub(crate) left_out: usize,
    pub(crate) most_under_way: usize,
    /// How many needed more than one attempt.
    pub(crate) repeated: usize,
    answers: BTreeMap<Option<u16>, usize>,
    took: Vec<Duration>,
    accepted_at: Vec<Duration>,
}

impl Tally {
    pub(crate) fn note(&mut self, sent: &Sent) {
        self.offered += 1;
        self.repeated += usize::from(sent.attempts > 1);
        *self.answers.entry(sent.status).or_default() += 1;
        if sent.status == Some(200) {
            self.took.push(sent.took);
            self.accepted_at.push(sent.at);
        }
    }

    /// To be called once all are noted.
    pub(crate) fn sorted(mut self) -> Self {
        self.took.sort_unstable();
        self.accepted_at.sort_unstable();
        self
    }

    pub(crate) fn answered(&self, status: Option<u16>) -> usize {
        self.answers.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.answered(Some(200))
    }

    /// Neither accepted nor told to come back: another status, or no answer at all.
    pub(crate) fn others(&self) -> usize {
        self.offered - self.accepted() - self.answered(Some(503))
    }

    pub(crate) fn per_second(&self, count: usize) -> f64 {
        count as f64 / self.time.as_secs_f64()
    }

    /// How long that part of the accepted ones took at most.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let place = (self.took.len() as f64 * part) as usize;
        self.took.get(place).or(self.took.last()).copied().unwrap_or_default()
    }

    /// The longest time in which none was accepted, while some were offered.
    pub(crate) fn longest_silence(&self) -> Duration {
        let mut last = Duration::ZERO;
        let ends = self.accepted_at.iter().filter(|at| **at < self.time).chain([&self.time]);
        ends.map(|at| at.saturating_sub(std::mem::replace(&mut last, *at))).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_count_from_the_first_offer_to_the_last() {
        let check = |accepted_at: &[u64], expect| {
            let mut tally = Tally { time: Duration::from_secs(10), ..Tally::default() };
            for at in accepted_at.iter().copied().map(Duration::from_secs) {
                tally.note(&Sent { status: Some(200), attempts: 1, took: at, at });
            }
            assert_eq!(tally.sorted().longest_silence(), Duration::from_secs(expect), "{accepted_at:?}");
        };
        check(&[], 10);
        check(&[5, 4, 3], 5);
        check(&[9, 12, 1], 8);
    }

    #[test]
    fn what_is_no_200_and_no_503_is_something_else() {
        let mut tally = Tally::default();
        for status in [Some(200), Some(503), None, Some(408)] {
            tally.note(&Sent { status, attempts: 2, took: Duration::ZERO, at: Duration::ZERO });
        }
        assert_eq!((tally.offered, tally.accepted(), tally.others(), tally.repeated), (4, 1, 2, 4));
    }
}
