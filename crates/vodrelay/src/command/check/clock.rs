//! What `check` finds about this machine's clock, by the dates that queues answer with.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::DATE;
use vodrelay_core::{Clock, SystemClock};

use super::{Finding, PATIENCE, Verdict, finding};
use crate::command::client::client;
use crate::config::Loaded;

/// A date has whole seconds, and an answer takes some.
const FINE: SignedDuration = SignedDuration::from_secs(10);

pub(super) async fn findings(loaded: &Loaded) -> Option<Finding> {
    let queues = &loaded.config.mns.queues;
    let endpoints: BTreeMap<&str, ()> = queues.values().map(|queue| (queue.endpoint.as_str(), ())).collect();
    for endpoint in endpoints.keys() {
        if let Some(ahead) = ahead_of(endpoint).await {
            return Some(judge(ahead, endpoint, strictest_skew(loaded)));
        }
    }
    None
}

/// How far this clock is ahead of the one there; nothing where that does not tell. It is asked nothing but to answer.
async fn ahead_of(url: &str) -> Option<SignedDuration> {
    let asked_at = SystemClock.now();
    let answer = client(PATIENCE).ok()?.get(url).send().await.ok()?;
    ahead_of_answer(answer.headers(), asked_at, SystemClock.now())
}

/// By the date of an answer, and when it was asked for and there.
pub(super) fn ahead_of_answer(
    headers: &reqwest::header::HeaderMap,
    asked_at: Timestamp,
    answered_at: Timestamp,
) -> Option<SignedDuration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTimeParser::new().parse_timestamp(date).ok()?;
    let middle = asked_at.checked_add(answered_at.duration_since(asked_at) / 2).ok()?;
    Some(middle.duration_since(date))
}

/// Beyond this a callback that is right would be refused as stale.
fn strictest_skew(loaded: &Loaded) -> Option<Duration> {
    let settings = loaded.config.http.resolve(&loaded.surroundings).ok()?;
    settings.callbacks.iter().map(|callback| callback.max_skew).min()
}

/// What that means for callbacks.
pub(super) fn judge(ahead: SignedDuration, by: &str, skew: Option<Duration>) -> Finding {
    let off = ahead.abs();
    let how = match (off.as_secs(), ahead.is_negative()) {
        (seconds, true) => format!("{seconds} s behind"),
        (seconds, false) => format!("{seconds} s ahead of"),
    };
    let mend = "set it by NTP (timedatectl set-ntp true, or chrony)";
    match skew.and_then(|skew| SignedDuration::try_from(skew).ok()) {
        _ if off <= FINE => finding("clock", Verdict::Ok, format!("agrees with {by}")),
        Some(skew) if off >= skew => {
            let detail =
                format!("is {how} {by}, and callbacks are refused from {} s on; {mend}", skew.as_secs());
            finding("clock", Verdict::Wrong, detail)
        }
        _ => finding("clock", Verdict::Warning, format!("is {how} {by}; {mend}")),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_callbacks_bear() {
        let check = |seconds, skew, verdict, says: &str| {
            let found = judge(SignedDuration::from_secs(seconds), "http://q", skew);
            assert!(found.verdict == verdict && found.detail.contains(says), "{seconds}: {found:?}");
        };
        let skew = Some(Duration::from_secs(300));
        check(0, skew, Verdict::Ok, "agrees");
        check(-9, None, Verdict::Ok, "agrees");
        check(60, skew, Verdict::Warning, "60 s ahead of http://q; set it by NTP");
        check(-60, None, Verdict::Warning, "60 s behind");
        check(301, skew, Verdict::Wrong, "callbacks are refused from 300 s on");
        check(301, None, Verdict::Warning, "301 s");
    }

    #[test]
    fn an_answer_is_held_against_the_middle_of_its_way() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut headers = HeaderMap::new();
        let (asked, answered) = (at("2026-11-24T10:00:00Z"), at("2026-11-24T10:00:04Z"));
        assert_eq!(ahead_of_answer(&headers, asked, answered), None);
        headers.insert(DATE, HeaderValue::from_static("Tue, 24 Nov 2026 09:59:00 GMT"));
        assert_eq!(ahead_of_answer(&headers, asked, answered), Some(SignedDuration::from_secs(62)));
    }
}
