//! What `check` says about a queue before an event is at stake: what the service answers, and what is doubtful in it.

use std::time::Duration;

use mns_client::{Error, ErrorKind, Queue, QueueAttributes, ReceiptHandle};

/// The shortest retention that bears an outage over a night.
const RETENTION_S: u32 = 86_400;
/// The time that an append may take before a message is another's again: the provider's default.
const VISIBILITY_S: u32 = 30;
/// What an event may need; the most that the service takes.
const SIZE_BYTES: u32 = 65_536;

/// What of a queue's attributes puts events at risk, each with its mend.
#[must_use]
pub fn doubts(attributes: &QueueAttributes) -> Vec<String> {
    let mut doubts = Vec::new();
    let below = |value: Option<u32>, least: u32| value.filter(|value| *value < least);
    if let Some(seconds) = below(attributes.message_retention_period, RETENTION_S) {
        doubts.push(format!(
            "messages are kept for {seconds} s only, and what a longer outage leaves unread is gone for ever; set \
             MessageRetentionPeriod to 345600 (four days) or more"
        ));
    }
    if let Some(seconds) = below(attributes.visibility_timeout, VISIBILITY_S) {
        doubts.push(format!(
            "a message is handed out again after {seconds} s, which a slow append can take, so each renewal costs a \
             request; set VisibilityTimeout to {VISIBILITY_S} or more"
        ));
    }
    if let Some(bytes) = below(attributes.maximum_message_size, SIZE_BYTES) {
        doubts.push(format!(
            "messages above {bytes} bytes are refused, and VOD drops an event after three refusals; set \
             MaximumMessageSize to {SIZE_BYTES}"
        ));
    }
    doubts
}

/// Asks for the rights that a relay needs beside reading attributes, with a handle that cannot exist: no message is
/// touched. The right to receive cannot be asked for in that way.
///
/// # Errors
/// The first answer that is about something else than the handle.
pub async fn ask_for_rights(queue: &Queue) -> Result<(), Error> {
    let handle = ReceiptHandle::new("no-handle");
    let is_about_the_handle =
        |error: &Error| matches!(error.kind(), ErrorKind::ReceiptHandle | ErrorKind::MessageNotExist);
    match queue.delete(&handle).await {
        Err(error) if !is_about_the_handle(&error) => return Err(error),
        _ => {}
    }
    match queue.change_visibility(&handle, Duration::from_secs(1)).await {
        Err(error) if !is_about_the_handle(&error) => Err(error),
        _ => Ok(()),
    }
}

/// What to do about an error.
#[must_use]
pub fn mend(error: &Error) -> &'static str {
    match (error.kind(), error.code()) {
        (_, Some("InvalidAccessKeyId")) => {
            "the service does not know the access key: correct access_key_id in credentials of the queue"
        }
        (_, Some("SignatureDoesNotMatch")) => {
            "the secret does not belong to the access key: correct access_key_secret in credentials of the queue"
        }
        (ErrorKind::AccessDenied, Some(code)) if code.contains("SecurityToken") => {
            "the temporary keys have run out, or the token is not theirs: see what renews them"
        }
        _ if error.status() == Some(407) => {
            "a proxy in between asks for credentials; let this machine reach the endpoint without it"
        }
        (kind, _) => mend_of_kind(kind),
    }
}

fn mend_of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Credentials => "set credentials of the queue",
        ErrorKind::AccessDenied => {
            "see whether the RAM policy of the queue's credentials lets them do that; docs/TRANSPORTS.md has one"
        }
        ErrorKind::ClockSkew { .. } => "set the clock of this machine; the service bears fifteen minutes",
        ErrorKind::QueueNotExist => {
            "create the queue, or correct its name, or the account and region in its endpoint"
        }
        ErrorKind::Throttled => "nothing, if it passes; else lower max_pollers, or ask for a higher quota",
        ErrorKind::Certificate => {
            "see whether the endpoint is written right and what answers there; the certificates of this machine decide \
             whom it trusts"
        }
        ErrorKind::Connect | ErrorKind::Disconnected | ErrorKind::Timeout => {
            "see whether this machine reaches the endpoint, and whether the account allows access from here"
        }
        ErrorKind::Unavailable => {
            "nothing, if it passes; messages wait in the queue as long as it keeps them"
        }
        ErrorKind::Unreadable => {
            "see whether the endpoint is one of MNS, with the right scheme, and whether a proxy answers in its place"
        }
        _ => "see the code in the provider's documentation",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_puts_events_at_risk_is_said_with_its_mend() {
        let check = |retention, visibility, size, expected: &[&str]| {
            let mut attributes = QueueAttributes::default();
            attributes.message_retention_period = retention;
            attributes.visibility_timeout = visibility;
            attributes.maximum_message_size = size;
            let doubts = doubts(&attributes);
            assert_eq!(doubts.len(), expected.len(), "{doubts:?}");
            for (doubt, expected) in doubts.iter().zip(expected) {
                assert!(doubt.contains(expected), "{doubt}");
            }
        };
        check(None, None, None, &[]);
        check(Some(86_400), Some(30), Some(65_536), &[]);
        check(Some(3_600), Some(30), Some(65_536), &["set MessageRetentionPeriod"]);
        check(
            Some(86_399),
            Some(29),
            Some(65_535),
            &["kept for 86399 s", "set VisibilityTimeout", "set MaximumMessageSize"],
        );
    }
}
