//! What can be made to go wrong, where, how often.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::operation::Operation;

/// Something that goes wrong. Serialised, and on the command line, in snake case: `error_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// 429 `TooManyRequests`; nothing happened.
    Throttle,
    /// 503 with an empty body, as a load balancer says it; nothing happened.
    Unavailable,
    /// 502 with an HTML page, as a gateway says it; nothing happened.
    BadGateway,
    /// 500 `InternalError`; nothing happened.
    ErrorBefore,
    /// 500 `InternalError`, though what was asked for has happened.
    ErrorAfter,
    /// The connection is closed without an answer; nothing happened.
    DropBefore,
    /// The connection is closed without an answer, though what was asked for has happened.
    DropAfter,
    /// The connection is closed in the middle of the answer; what was asked for has happened.
    Cut,
    /// The answer is held back by [`Settings::slow_by`](crate::Settings::slow_by).
    Slow,
    /// An entry of a batch fails with `InternalError`; the die is cast for each entry.
    PartialBatch,
    /// A message that is received is there a second time, at once and with a life of its own.
    Duplicate,
    /// Any of the next 64 messages is received, instead of the first.
    Reorder,
    /// A batch receives fewer messages than there are: the service reads one of its shards and answers.
    ShortBatch,
    /// A receive finds nothing and does not wait either, as in an account with too many long polls.
    EarlyEmpty,
    /// A message is received with an MD5 that is not its body's.
    WrongMd5,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 15] = [
        Self::Throttle,
        Self::Unavailable,
        Self::BadGateway,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::DropBefore,
        Self::DropAfter,
        Self::Cut,
        Self::Slow,
        Self::PartialBatch,
        Self::Duplicate,
        Self::Reorder,
        Self::ShortBatch,
        Self::EarlyEmpty,
        Self::WrongMd5,
    ];

    /// The name in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Unavailable => "unavailable",
            Self::BadGateway => "bad_gateway",
            Self::ErrorBefore => "error_before",
            Self::ErrorAfter => "error_after",
            Self::DropBefore => "drop_before",
            Self::DropAfter => "drop_after",
            Self::Cut => "cut",
            Self::Slow => "slow",
            Self::PartialBatch => "partial_batch",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::ShortBatch => "short_batch",
            Self::EarlyEmpty => "early_empty",
            Self::WrongMd5 => "wrong_md5",
        }
    }

    /// This fault, always and everywhere.
    #[must_use]
    pub fn always(self) -> Injection {
        Injection { fault: self, on: Vec::new(), share: 1.0, times: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|fault| fault.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no fault; there are {names}"))
    }
}

/// A fault, and where and how often it strikes.
///
/// ```
/// use mns_emulator::{Fault, Operation};
///
/// // The answers to the next two sends are lost.
/// let twice = Fault::DropAfter.always().on(Operation::SendMessage).times(2);
/// // A tenth of all requests is throttled; the same, as the command line has it.
/// let throttled = Fault::Throttle.always().share(0.1);
/// assert_eq!("throttle=0.1".parse(), Ok(throttled));
/// # assert_eq!(twice.times, Some(2));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// What goes wrong.
    pub fault: Fault,
    /// Where; none stands for everywhere.
    #[serde(default)]
    pub on: Vec<Operation>,
    /// In which share of the cases, from 0 to 1.
    #[serde(default = "whole")]
    pub share: f64,
    /// How often it still strikes; none stands for no end.
    #[serde(default)]
    pub times: Option<u32>,
}

fn whole() -> f64 {
    1.0
}

impl Injection {
    /// The same at that operation only, and at others that were named before.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.on.push(operation);
        self
    }

    /// The same in that share of the cases.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// The same, so often and then no more.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

impl FromStr for Injection {
    type Err = String;

    /// `FAULT`, `FAULT=SHARE` or `FAULT:OPERATION=SHARE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (what, share) = text.split_once('=').unwrap_or((text, "1"));
        let share: f64 = share.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            format!("{share:?} is not a share: write a number from 0 to 1, as in throttle=0.1")
        })?;
        let (fault, operation) = what.split_once(':').map_or((what, None), |(fault, on)| (fault, Some(on)));
        let on = operation.map(str::parse).transpose()?.into_iter().collect();
        Ok(Self { fault: fault.parse()?, on, share, times: None })
    }
}

/// The faults in force, and the dice that decide.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) injections: Vec<Injection>,
    dice: StdRng,
}

impl Plan {
    pub(crate) fn new(injections: Vec<Injection>, dice: StdRng) -> Self {
        Self { injections, dice }
    }

    /// Whether the fault strikes here and now.
    pub(crate) fn strikes(&mut self, fault: Fault, operation: Operation) -> bool {
        let Self { injections, dice } = self;
        let here = |injection: &&mut Injection| {
            injection.fault == fault
                && injection.times != Some(0)
                && (injection.on.is_empty() || injection.on.contains(&operation))
        };
        for injection in injections.iter_mut().filter(here) {
            if dice.random::<f64>() < injection.share {
                injection.times = injection.times.map(|times| times - 1);
                return true;
            }
        }
        false
    }

    /// A number below `limit`, or 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        if limit > 1 { self.dice.random_range(0..limit) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_fault_strikes_where_and_as_often_as_it_is_told() {
        let twice = Fault::Throttle.always().on(Operation::SendMessage).times(2);
        let some = Fault::Slow.always().share(0.25);
        let mut plan = Plan::new(vec![twice, some], StdRng::seed_from_u64(1));
        assert!(!plan.strikes(Fault::Throttle, Operation::ListQueue));
        let struck = (0..5).filter(|_| plan.strikes(Fault::Throttle, Operation::SendMessage)).count();
        assert_eq!(struck, 2);
        let slow = (0..1000).filter(|_| plan.strikes(Fault::Slow, Operation::ListQueue)).count();
        assert!((200..300).contains(&slow), "{slow}");
    }

    #[test]
    fn injections_are_read_from_the_command_line() {
        let check = |text: &str, expected: Result<Injection, &str>| {
            let read = text.parse::<Injection>();
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(read), Err(expected)) => assert!(read.contains(expected), "{read}"),
                (read, expected) => panic!("{text}: {read:?}, not {expected:?}"),
            }
        };
        check("cut", Ok(Fault::Cut.always()));
        check("error_after=0.5", Ok(Fault::ErrorAfter.always().share(0.5)));
        check("slow:list_queue=1", Ok(Fault::Slow.always().on(Operation::ListQueue)));
        check("slow=2", Err("\"2\" is not a share"));
        check("sloth=1", Err("\"sloth\" is no fault; there are throttle,"));
        check("slow:lists=1", Err("\"lists\" is no operation; there are send_message,"));
    }

    #[test]
    fn every_name_is_the_serialised_one() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.as_str());
        }
        for operation in Operation::ALL {
            assert_eq!(serde_json::to_value(operation).unwrap(), operation.as_str());
        }
    }
}
