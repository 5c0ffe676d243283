//! What the receiver answered, turned into a receipt or an error that says whether trying again can help.

use std::time::Duration;

use http::header::RETRY_AFTER;
use jiff::Timestamp;
use reqwest::Response;
use tokio::time::timeout;
use vodrelay_core::sink::Retry;
use vodrelay_core::{Receipt, SinkError};

use super::status::{Verdict, Verdicts};

/// How much of a failure's body is kept, in bytes.
const EXCERPT: usize = 512;
/// How much of any body is read, so that the connection can serve again.
const DRAIN: usize = 16 << 10;
/// How long the body may take once the status is here. The status alone decides.
const BODY_PATIENCE: Duration = Duration::from_secs(2);

/// Decides by the status; the body is only for people.
pub(super) async fn judge(
    response: Response,
    verdicts: &Verdicts,
    now: Timestamp,
) -> Result<Receipt, SinkError> {
    let status = response.status();
    let location = response.headers().get(http::header::LOCATION).is_some() && status.is_redirection();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.as_bytes(), now));
    let retry = match verdicts.of(status.as_u16()) {
        Verdict::Success => {
            excerpt(response).await;
            return Ok(Receipt { status: Some(status.as_u16()) });
        }
        Verdict::Permanent => Retry::Permanent,
        Verdict::Retry(give_up_after) => Retry::Temporary { after, give_up_after },
    };
    let mut message = format!("the receiver answered {status}");
    if location {
        message.push_str(", and redirects are not followed");
    }
    let excerpt = excerpt(response).await;
    if !excerpt.is_empty() {
        message = format!("{message}: {excerpt}");
    }
    Err(SinkError { retry, status: Some(status.as_u16()), message })
}

/// The beginning of the body on one line. Reads on for a little, since a connection with unread bytes is lost.
async fn excerpt(mut response: Response) -> String {
    let mut read = Vec::new();
    let mut total = 0;
    let drain = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            total += chunk.len();
            read.extend(chunk.iter().take(EXCERPT - read.len().min(EXCERPT)));
            if total > DRAIN {
                break;
            }
        }
    };
    let _ = timeout(BODY_PATIENCE, drain).await;
    let text = String::from_utf8_lossy(&read);
    text.split(|letter: char| letter.is_control() || letter.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `Retry-After` in seconds or as a date; nothing where it cannot be read or is over already.
fn retry_after(value: &[u8], now: Timestamp) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim();
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
            assert_eq!(retry_after(value.as_bytes(), now), expected.map(Duration::from_secs), "{value}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Wed, 21 Oct 2015 07:28:00 GMT", Some(60));
        check("Wed, 21 Oct 2015 07:26:00 GMT", None);
        check("soon", None);
        check("-5", None);
        check("99999999999999999999999", None);
    }
}
