//! From an HTTP answer to what it says. The root of the XML decides, never the status alone: a batch that failed in
//! part has a status of failure, too.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::error::{EntryError, Error, ErrorKind};
use crate::message::Sent;
use crate::name::ReceiptHandle;
use crate::words::cut;
use crate::xml::{self, Element};

/// An answer that is no error of the whole request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) root: Option<Element>,
    /// How long it took.
    pub(crate) took: Duration,
    /// When that was, for the service.
    pub(crate) date: Option<Timestamp>,
    /// The service said that there is no message.
    pub(crate) found_nothing: bool,
    /// An earlier try of the same request may have taken effect.
    pub(crate) after_loss: bool,
}

/// Reads an answer.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Error> {
    let blank = body.trim_ascii().is_empty();
    let root = if blank { Ok(None) } else { xml::read(body).map(Some) };
    match root {
        Ok(Some(root)) if root.name == "Error" => Err(service_error(&root, status, headers)),
        Ok(Some(root)) if status.is_success() || ["Messages", "Errors"].contains(&root.name.as_str()) => {
            Ok(Answer { status: status.as_u16(), root: Some(root), date: date(headers), ..Answer::default() })
        }
        Ok(None) if status.is_success() => Ok(Answer { status: status.as_u16(), ..Answer::default() }),
        Err(refused) if status.is_success() => Err(unreadable(status, headers, &refused.to_string())),
        _ => Err(status_error(status, headers, body)),
    }
}

/// The message of an answer that is no XML, where one was asked for.
pub(crate) fn salvage(headers: &HeaderMap, body: &[u8]) -> Option<Answer> {
    let root = Some(xml::salvage(body)?);
    Some(Answer { status: 200, root, date: date(headers), ..Answer::default() })
}

/// An answer that says something else than was asked.
pub(crate) fn unexpected(answer: &Answer, expected: &str) -> Error {
    let there = answer.root.as_ref().map_or("nothing", |root| &root.name);
    let message = format!("the answer has {:?} where {expected:?} was expected", cut(there));
    let kind = if answer.succeeded() { ErrorKind::Unreadable } else { ErrorKind::of(None, answer.status) };
    Error::new(kind, message).answered(answer.status, None, None)
}

/// That what was asked for is done, of which the service says no word but the status.
pub(crate) fn done(answer: &Answer) -> Result<(), Error> {
    if answer.succeeded() && answer.root.is_none() { Ok(()) } else { Err(unexpected(answer, "nothing")) }
}

impl Answer {
    /// The root of that name, in an answer that says that what was asked for is done.
    pub(crate) fn root_of_success(&self, name: &str) -> Result<&Element, Error> {
        let root = self.root.as_ref().filter(|root| self.succeeded() && root.name == name);
        root.ok_or_else(|| unexpected(self, name))
    }

    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn service_error(root: &Element, status: StatusCode, headers: &HeaderMap) -> Error {
    let text = |name| root.text_of(name).map(|text| cut(text.trim())).filter(|text| !text.is_empty());
    let code = text("Code");
    let message = text("Message").unwrap_or_else(|| "the service gave no reason".to_owned());
    let request_id = text("RequestId").or_else(|| request_id(headers));
    let kind = ErrorKind::of(code.as_deref(), status.as_u16());
    let error = match kind {
        ErrorKind::ClockSkew { .. } => clock_skew(message, headers),
        kind => Error::new(kind, message.trim_end_matches('.')),
    };
    error.answered(status.as_u16(), code, request_id)
}

fn clock_skew(message: String, headers: &HeaderMap) -> Error {
    let server_time = date(headers);
    let message = match server_time {
        Some(time) => {
            format!("the clock of this machine is off, for the service it is {time}; set the clock")
        }
        None => message,
    };
    Error::new(ErrorKind::ClockSkew { server_time }, message)
}

/// Something in front of the service has answered, or the service without its XML.
fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let kind = ErrorKind::of(None, status.as_u16());
    let excerpt: String = String::from_utf8_lossy(body).split_whitespace().collect::<Vec<_>>().join(" ");
    let excerpt: String = excerpt.chars().take(120).collect();
    let message = if excerpt.is_empty() {
        "the answer has no body that says why".to_owned()
    } else {
        format!("the answer is not the service's: {excerpt:?}")
    };
    Error::new(kind, message).answered(status.as_u16(), None, request_id(headers))
}

pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(http::header::DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(date).ok()
}

fn unreadable(status: StatusCode, headers: &HeaderMap, why: &str) -> Error {
    let message = format!("the answer cannot be read: {why}");
    Error::new(ErrorKind::Unreadable, message).answered(status.as_u16(), None, request_id(headers))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-mns-request-id")?.to_str().ok().map(cut)
}

/// What became of each message of a batch, in the order in which they were sent.
pub(crate) fn sent_entries(answer: &Answer, count: usize) -> Result<Vec<Result<Sent, EntryError>>, Error> {
    let root = answer.root.as_ref().filter(|root| root.name == "Messages");
    let root = root.ok_or_else(|| unexpected(answer, "Messages"))?;
    let entry = |entry: &Element| match Sent::read(entry) {
        Some(sent) => Ok(sent),
        None => Err(entry_error(entry)),
    };
    let entries: Vec<_> = root.children_named("Message").map(entry).collect();
    if entries.len() == count {
        return Ok(entries);
    }
    let message =
        format!("the answer says what became of {} messages, of which {count} were sent", entries.len());
    Err(Error::new(ErrorKind::Unreadable, message).answered(answer.status, None, None))
}

/// What became of each handle of a batch, in the order in which they were sent. The answer lists those that failed.
pub(crate) fn deleted_entries(
    answer: &Answer,
    handles: &[ReceiptHandle],
) -> Result<Vec<Result<(), EntryError>>, Error> {
    let Some(root) = &answer.root else { return Ok(vec![Ok(()); handles.len()]) };
    if root.name != "Errors" {
        return Err(unexpected(answer, "Errors"));
    }
    let mut results = vec![Ok(()); handles.len()];
    for failed in root.children_named("Error") {
        let handle = failed.text_of("ReceiptHandle").unwrap_or_default().trim();
        let error = entry_error(failed);
        // Every other one was deleted, so a handle that nobody sent leaves all of them in doubt.
        let mut found = false;
        for (result, _) in results.iter_mut().zip(handles).filter(|(_, sent)| sent.as_str() == handle) {
            found = true;
            // An earlier try may have deleted it.
            let gone = answer.after_loss && error.kind() == ErrorKind::MessageNotExist;
            *result = if gone { Ok(()) } else { Err(error.clone()) };
        }
        if !found {
            let message = format!("the answer has the handle {:?}, which was not sent", cut(handle));
            return Err(Error::new(ErrorKind::Unreadable, message).answered(answer.status, None, None));
        }
    }
    Ok(results)
}

fn entry_error(entry: &Element) -> EntryError {
    let text = |name| cut(entry.text_of(name).unwrap_or_default().trim());
    EntryError { code: text("ErrorCode"), message: text("ErrorMessage") }
}

#[cfg(test)]
mod tests;
