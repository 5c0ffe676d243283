//! What every sink that speaks HTTP reads of errors and answers in the same way.

use std::error::Error;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use reqwest::Response;
use tokio::time::timeout;

/// How much of a body that only people read is taken, so that the connection can serve again.
const DRAIN: usize = 16 << 10;
/// How long a body may take once the status is here, where it may say what went wrong, …
pub(crate) const TO_READ: Duration = Duration::from_secs(2);
/// … and where it is only taken off the connection: opening another one costs less than waiting on.
pub(crate) const TO_DRAIN: Duration = Duration::from_millis(200);

/// The innermost cause: the outer ones say no more than that a request failed, some of them with its URL.
pub(crate) fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// Whether this is what TLS says of an answer in plain HTTP.
pub(crate) fn speaks_plain_http(cause: &str) -> bool {
    cause.contains("InvalidContentType")
}

/// At most that many bytes from the beginning of the body, as far as it comes in that time. Reads on for a little,
/// since a connection with unread bytes is lost.
pub(crate) async fn beginning(mut response: Response, most: usize, patience: Duration) -> Vec<u8> {
    let mut read = Vec::new();
    let mut total = 0;
    let drain = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            total += chunk.len();
            read.extend(chunk.iter().take(most - read.len().min(most)));
            if total > DRAIN {
                break;
            }
        }
    };
    let _ = timeout(patience, drain).await;
    read
}

/// `Retry-After` in seconds or as a date; nothing where it cannot be read or is over already.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = str::from_utf8(headers.get(RETRY_AFTER)?.as_bytes()).ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        let check = |value: &str, expected: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Wed, 21 Oct 2015 07:28:00 GMT", Some(60));
        check("Wed, 21 Oct 2015 07:26:00 GMT", None);
        check("soon", None);
        check("-5", None);
        check("99999999999999999999999", None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
