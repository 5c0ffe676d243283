//! What the receiver answered, turned into a receipt or an error that says whether trying again can help.

use jiff::Timestamp;
use reqwest::Response;
use vodrelay_core::sink::Retry;
use vodrelay_core::{Receipt, SinkError};

use super::status::{Verdict, Verdicts};
use crate::exchange::{TO_DRAIN, TO_READ, beginning, retry_after};

/// How much of a failure's body is kept, in bytes.
const EXCERPT: usize = 512;

/// Decides by the status; the body is only for people.
pub(super) async fn judge(
    response: Response,
    verdicts: &Verdicts,
    now: Timestamp,
) -> Result<Receipt, SinkError> {
    let status = response.status();
    let location = response.headers().get(http::header::LOCATION).is_some() && status.is_redirection();
    let after = retry_after(response.headers(), now);
    let retry = match verdicts.of(status.as_u16()) {
        Verdict::Success => {
            // The status has said all there is to say; the body is read so that the connection can serve again.
            beginning(response, 0, TO_DRAIN).await;
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

/// The beginning of the body on one line.
async fn excerpt(response: Response) -> String {
    let read = beginning(response, EXCERPT, TO_READ).await;
    let text = String::from_utf8_lossy(&read);
    text.split(|letter: char| letter.is_control() || letter.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
