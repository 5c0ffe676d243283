//! The windows in which events may be missing, from what the journal remembers of the relay.

use jiff::Timestamp;
use serde::Serialize;

use crate::history::{History, Life, LifeEnd, Trouble, TroubleKind};
use crate::name::SourceName;

/// The windows, the earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// Since when anything is known; before that nothing can be said.
    pub known_since: Option<Timestamp>,
    /// The windows.
    pub gaps: Vec<Gap>,
    /// Where the clock was set back: the same hour may stand twice in what is told.
    pub clock_set_back: Vec<ClockJump>,
}

/// A window in which events may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When it begins …
    pub from: Timestamp,
    /// … and when it ends.
    pub until: Timestamp,
    /// What was wrong.
    #[serde(flatten)]
    pub why: Why,
}

/// What was wrong in a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Why {
    /// The relay was not there.
    Down {
        /// Whether it was stopped cleanly; else it ended without a word, at the beginning of the window or up to a
        /// heartbeat later.
        stopped: bool,
        /// Whether the clock was set back meanwhile: then the window is made of the two moments, and how long it
        /// really was is unknown.
        clock_set_back: bool,
    },
    /// The clock jumped ahead while the relay ran: the machine slept, or its clock was set.
    ClockJumpedAhead,
    /// Requests were answered 503, or 413 where they were too large, or messages could not be taken from a queue.
    TurnedAway {
        /// Where they came from.
        source: SourceName,
        /// `full`, `failing`, `busy` or `too_large`.
        cause: &'static str,
        /// How many.
        count: u64,
    },
    /// Requests were refused.
    Refused {
        /// Where they came from.
        source: SourceName,
        /// `missing`, `malformed`, `mismatch`, `stale` or `unreadable`.
        cause: &'static str,
        /// How many; one event may be three.
        count: u64,
        /// How many of them are kept and can be judged again.
        kept: u64,
        /// How many were accepted later, or purged by a person.
        settled: u64,
    },
}

/// A clock that was set while the relay ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClockJump {
    /// What it said before …
    pub from: Timestamp,
    /// … and after.
    pub to: Timestamp,
}

impl Gaps {
    /// Finds the windows that touch the time from `since` to `until`.
    #[must_use]
    pub fn find(history: &History, since: Timestamp, until: Timestamp) -> Self {
        let mut found = Self { known_since: history.known_since, ..Self::default() };
        let pairs = history.lives.iter().zip(history.lives.iter().skip(1));
        for (life, next) in pairs {
            found.between(life, next);
        }
        found.gaps.extend(history.troubles.iter().filter_map(of_trouble));
        found.gaps.retain(|gap| gap.until >= since && gap.from <= until);
        found.clock_set_back.retain(|jump| jump.from >= since && jump.to <= until);
        found.gaps.sort_by_key(|gap| (gap.from, gap.until));
        found
    }

    fn between(&mut self, life: &Life, next: &Life) {
        let (from, until) = (life.beat_at, next.started_at);
        let went_back = until < from;
        match life.end {
            LifeEnd::ClockJumped if went_back => {
                self.clock_set_back.push(ClockJump { from, to: until });
            }
            LifeEnd::ClockJumped => self.gaps.push(Gap { from, until, why: Why::ClockJumpedAhead }),
            LifeEnd::Open | LifeEnd::Stopped => {
                let stopped = life.end == LifeEnd::Stopped;
                let why = Why::Down { stopped, clock_set_back: went_back };
                self.gaps.push(Gap { from: from.min(until), until: until.max(from), why });
            }
        }
    }
}

fn of_trouble(trouble: &Trouble) -> Option<Gap> {
    let Trouble { kind, source, first_at, last_at, count, kept, settled } = trouble.clone();
    let cause = kind.as_str();
    // A crash may have come before the last ones were counted.
    let count = count.max(kept + settled);
    let why = match kind {
        TroubleKind::Refused(_) if settled >= count => return None,
        TroubleKind::Refused(_) => Why::Refused { source, cause, count, kept, settled },
        TroubleKind::Full | TroubleKind::Failing | TroubleKind::Busy | TroubleKind::TooLarge => {
            Why::TurnedAway { source, cause, count }
        }
    };
    Some(Gap { from: first_at, until: last_at, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::refusal::RefusalCause;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
    }

    fn life(started: i64, beat: i64, end: LifeEnd) -> Life {
        Life { started_at: at(started), beat_at: at(beat), end }
    }

    #[track_caller]
    fn check(lives: &[Life], since: i64, until: i64, expect: &[(i64, i64, Why)], set_back: usize) {
        let history = History { lives: lives.to_vec(), ..History::default() };
        let found = Gaps::find(&history, at(since), at(until));
        let expect: Vec<Gap> = expect
            .iter()
            .map(|(from, until, why)| Gap { from: at(*from), until: at(*until), why: why.clone() })
            .collect();
        assert_eq!(found.gaps, expect);
        assert_eq!(found.clock_set_back.len(), set_back);
    }

    fn down(stopped: bool, clock_set_back: bool) -> Why {
        Why::Down { stopped, clock_set_back }
    }

    #[test]
    fn between_two_lives_it_was_down() {
        use LifeEnd::{Open, Stopped};
        let lives = [life(0, 10, Open), life(12, 20, Stopped), life(25, 30, Open)];
        check(&lives, 0, 99, &[(10, 12, down(false, false)), (20, 25, down(true, false))], 0);
        check(&lives, 13, 99, &[(20, 25, down(true, false))], 0);
        check(&lives, 0, 11, &[(10, 12, down(false, false))], 0);
        check(&lives[..1], 0, 99, &[], 0);
        check(&[], 0, 99, &[], 0);
    }

    #[test]
    fn a_clock_that_jumps_is_told() {
        use LifeEnd::{ClockJumped, Open, Stopped};
        check(&[life(0, 10, ClockJumped), life(70, 80, Open)], 0, 99, &[(10, 70, Why::ClockJumpedAhead)], 0);
        check(&[life(0, 60, ClockJumped), life(0, 80, Open)], 0, 99, &[], 1);
        // Set back while the relay was down: a heartbeat in the future.
        check(&[life(50, 60, Open), life(30, 40, Open)], 0, 99, &[(30, 60, down(false, true))], 0);
        check(&[life(50, 60, Stopped), life(30, 40, Open)], 0, 99, &[(30, 60, down(true, true))], 0);
    }

    #[test]
    fn troubles_are_gaps_until_their_refusals_are_settled() {
        let source = || SourceName::callback(&Name::new("main").unwrap());
        let trouble = |kind, count, kept, settled| Trouble {
            kind,
            source: source(),
            first_at: at(1),
            last_at: at(2),
            count,
            kept,
            settled,
        };
        let check = |trouble: Trouble, expect: Option<Why>| {
            let history = History { troubles: vec![trouble], ..History::default() };
            let found = Gaps::find(&history, at(0), at(9)).gaps.pop().map(|gap| gap.why);
            assert_eq!(found, expect);
        };
        let mismatch = TroubleKind::Refused(RefusalCause::Mismatch);
        let refused =
            |count, kept, settled| Why::Refused { source: source(), cause: "mismatch", count, kept, settled };
        check(trouble(mismatch, 9, 4, 3), Some(refused(9, 4, 3)));
        check(trouble(mismatch, 9, 0, 9), None);
        check(trouble(mismatch, 2, 4, 3), Some(refused(7, 4, 3)));
        let full = Why::TurnedAway { source: source(), cause: "full", count: 5 };
        check(trouble(TroubleKind::Full, 5, 0, 0), Some(full));
    }
}
