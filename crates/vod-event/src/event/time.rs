//! The three layouts in which the provider writes a time.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

/// A moment in UTC, printed as RFC 3339 with the fraction that the provider sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub Timestamp);

impl EventTime {
    /// From `2024-03-05T09:12:58Z`, with a fraction after a dot, or with milliseconds after a colon as the provider
    /// also writes them; blanks around it do not matter. Without a zone it is nothing, since which zone was meant
    /// would be a guess.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (civil, rest) = text.trim_ascii().split_at_checked(19)?;
        let (nanosecond, zone) = fraction(rest)?;
        let moment = date_time(civil, nanosecond)?;
        offset(zone)?.to_timestamp(moment).ok().map(Self)
    }
}

/// `2024-03-05T09:12:58`
fn date_time(civil: &str, nanosecond: i32) -> Option<DateTime> {
    let separators = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    if separators.iter().any(|&(at, separator)| civil.get(at..=at) != Some(separator)) {
        return None;
    }
    let two = |at: usize| number(civil.get(at..at + 2)?).and_then(|number| i8::try_from(number).ok());
    let year = i16::try_from(number(civil.get(0..4)?)?).ok()?;
    DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, nanosecond).ok()
}

/// `.5`, `.627`, `:627` or nothing, in nanoseconds, and what follows it.
fn fraction(rest: &str) -> Option<(i32, &str)> {
    let Some(after) = rest.strip_prefix(['.', ':']) else {
        return Some((0, rest));
    };
    let length = after.bytes().take_while(u8::is_ascii_digit).count();
    let is_written_well = if rest.starts_with(':') { length == 3 } else { (1..=9).contains(&length) };
    let (digits, zone) = after.split_at_checked(length)?;
    let nanosecond =
        number(digits)?.checked_mul(10_i32.checked_pow(u32::try_from(9 - length.min(9)).ok()?)?)?;
    is_written_well.then_some((nanosecond, zone))
}

/// `Z` or `+08:00`.
fn offset(zone: &str) -> Option<Offset> {
    if zone == "Z" {
        return Some(Offset::UTC);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

fn number(digits: &str) -> Option<i32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(EventTime::parse(text).map(|time| time.to_string()).as_deref(), expect, "{text:?}");
    }

    #[test]
    fn layouts_of_the_provider() {
        check("2024-03-05T09:12:58Z", Some("2024-03-05T09:12:58Z"));
        check("2024-03-05T09:12:58.627Z", Some("2024-03-05T09:12:58.627Z"));
        check("2024-03-20T07:49:17:025Z", Some("2024-03-20T07:49:17.025Z"));
        check(" 2024-03-05T09:12:58Z\n", Some("2024-03-05T09:12:58Z"));
    }

    #[test]
    fn other_zones_are_brought_to_utc() {
        check("2024-03-05T17:12:58+08:00", Some("2024-03-05T09:12:58Z"));
        check("2024-03-05T09:12:58.123456789-00:30", Some("2024-03-05T09:42:58.123456789Z"));
    }

    #[test]
    fn nothing_else_is_a_time() {
        for text in [
            "",
            "Z",
            "yesterday",
            "2024-03-05",
            "2024-03-05T09:12:58",
            "2024-03-05 09:12:58Z",
            "2024-02-30T09:12:58Z",
            "2024-03-05T25:12:58Z",
            "2024-03-05T09:12:58:5Z",
            "2024-03-05T09:12:58.Z",
            "2024-03-05T09:12:58.1234567890Z",
            "2024-03-05T09:12:58+8:00",
            "2024-03-05T09:12:58+08:60",
            "2024-03-05T09:12:58+99:00",
            "+024-03-05T09:12:58Z",
            "1709629978",
            "２０24-03-05T09:12:58Z",
        ] {
            check(text, None);
        }
    }
}
