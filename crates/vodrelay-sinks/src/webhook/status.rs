//! Which answers settle a delivery, which bury it, and which are worth less patience: data, in the words of the
//! options.

use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// What to make of each status. Success counts before permanent, and permanent before short.
#[derive(Clone, Debug)]
pub(super) struct Verdicts {
    pub(super) success: Vec<StatusPattern>,
    pub(super) permanent: Vec<StatusPattern>,
    pub(super) short: Vec<StatusPattern>,
    pub(super) short_age: Duration,
}

/// What a status means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Delivered.
    Success,
    /// Given up at once.
    Permanent,
    /// Tried again, up to this age where there is one, else up to the sink's.
    Retry(Option<Duration>),
}

impl Verdicts {
    pub(super) fn of(&self, status: u16) -> Verdict {
        let has = |patterns: &[StatusPattern]| patterns.iter().any(|pattern| pattern.matches(status));
        match () {
            () if has(&self.success) => Verdict::Success,
            () if has(&self.permanent) => Verdict::Permanent,
            () if has(&self.short) => Verdict::Retry(Some(self.short_age)),
            () => Verdict::Retry(None),
        }
    }
}

/// One status, `410`, or a hundred of them, `2xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusPattern {
    first: u16,
    last: u16,
}

impl StatusPattern {
    pub(super) const fn one(status: u16) -> Self {
        Self { first: status, last: status }
    }

    pub(super) const fn class(digit: u16) -> Self {
        Self { first: digit * 100, last: digit * 100 + 99 }
    }

    fn matches(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(digit) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            return digit.parse().ok().filter(|digit| (2..=5).contains(digit)).map(Self::class);
        }
        text.parse().ok().filter(|status| (200..=599).contains(status)).map(Self::one)
    }
}

impl<'de> Deserialize<'de> for StatusPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

struct PatternVisitor;

impl Visitor<'_> for PatternVisitor {
    type Value = StatusPattern;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a status from 200 to 599 like 410, or a class like \"2xx\"")
    }

    fn visit_u64<E: Error>(self, status: u64) -> Result<StatusPattern, E> {
        StatusPattern::parse(&status.to_string())
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(status), &self))
    }

    fn visit_i64<E: Error>(self, status: i64) -> Result<StatusPattern, E> {
        StatusPattern::parse(&status.to_string())
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(status), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StatusPattern, E> {
        StatusPattern::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_asked_in_their_order() {
        let verdicts = Verdicts {
            success: vec![StatusPattern::class(2), StatusPattern::one(409)],
            permanent: vec![StatusPattern::one(410)],
            short: vec![StatusPattern::class(4)],
            short_age: Duration::from_secs(60),
        };
        let check = |status: u16, expected: Verdict| assert_eq!(verdicts.of(status), expected, "{status}");
        check(200, Verdict::Success);
        check(299, Verdict::Success);
        check(409, Verdict::Success);
        check(410, Verdict::Permanent);
        check(400, Verdict::Retry(Some(Duration::from_secs(60))));
        check(302, Verdict::Retry(None));
        check(503, Verdict::Retry(None));
    }

    #[test]
    fn patterns_are_numbers_texts_and_classes() {
        let check = |json: &str, expected: Result<StatusPattern, &str>| {
            let read = serde_json::from_str::<StatusPattern>(json).map_err(|error| error.to_string());
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (read, expected) => panic!("{json}: {read:?}, expected {expected:?}"),
            }
        };
        check("410", Ok(StatusPattern::one(410)));
        check("\"410\"", Ok(StatusPattern::one(410)));
        check("\"4xx\"", Ok(StatusPattern::class(4)));
        check("\"6xx\"", Err("like 410, or a class"));
        check("99", Err("from 200 to 599"));
        check("-1", Err("from 200 to 599"));
        check("true", Err("from 200 to 599"));
    }
}
