//! Moments on the command line: one in RFC 3339, or how long ago.

use jiff::{SignedDuration, Timestamp};
use vodrelay_core::config::Span;
use vodrelay_core::{Clock, SystemClock};

/// Reads `2026-11-24T10:00:00Z`, or `2h` for two hours ago.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, SystemClock.now())
}

fn parse_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ago = Span::parse(text).ok().and_then(|span| SignedDuration::try_from(span.0).ok());
    let wrong = || {
        format!(
            "{text:?} is no moment: write one like 2026-11-24T10:00:00Z, or how long ago, like 30m, 2h or 7d"
        )
    };
    now.checked_sub(ago.ok_or_else(wrong)?).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_or_how_long_ago() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let check = |text: &str, expect: Option<&str>| {
            let parsed = parse_at(text, now).ok().map(|moment| moment.to_string());
            assert_eq!(parsed.as_deref(), expect, "{text}");
        };
        check("2026-11-23T22:00:00Z", Some("2026-11-23T22:00:00Z"));
        check("2026-11-24T06:00:00+08:00", Some("2026-11-23T22:00:00Z"));
        check("2h", Some("2026-11-24T08:00:00Z"));
        check("7d", Some("2026-11-17T10:00:00Z"));
        check("yesterday", None);
        check("99999999999d", None);
    }
}
