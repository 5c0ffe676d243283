//! From an HTTP request to a call: which operation it asks for, with parameters that are checked.

mod body;
mod query;

use bytes::Bytes;
use http::{HeaderMap, Method};

use self::body::{drafts, handles};
use self::query::Query;
use crate::operation::Operation;
use crate::queue::Draft;
use crate::refusal::Refusal;
use crate::xml::Element;

/// A request as it came, its body read to the end.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query, letter by letter; of a target in absolute form what follows the authority.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// The header's value; one that is not text counts as none.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The most that a batch holds.
pub(crate) const BATCH: usize = 16;
/// The longest wait of a long poll, in seconds.
const WAIT: u32 = 30;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    ListQueue { prefix: String, marker: String, most: usize, with_meta: bool },
    CreateQueue { queue: String, attributes: Element },
    SetQueueAttributes { queue: String, attributes: Element },
    GetQueueAttributes { queue: String },
    DeleteQueue { queue: String },
    Send { queue: String, drafts: Vec<Draft>, batch: bool },
    Receive { queue: String, most: Option<usize>, wait_seconds: Option<u32> },
    Peek { queue: String, most: Option<usize> },
    Delete { queue: String, handle: String },
    BatchDelete { queue: String, handles: Vec<String> },
    ChangeVisibility { queue: String, handle: String, timeout: u32 },
}

impl Call {
    /// Reads what a request asks for; `strict` takes only the documents' spelling of the query.
    pub(crate) fn read(request: &Request, strict: bool) -> Result<Self, Refusal> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let query = Query::new(query, strict);
        match path.split('/').collect::<Vec<_>>()[..] {
            ["", "queues"] => list(request),
            ["", "queues", queue] => of_queue(request, checked_name(queue)?, &query),
            ["", "queues", queue, "messages"] => of_messages(request, checked_name(queue)?, &query),
            _ => Err(Refusal::INVALID_REQUEST_URL),
        }
    }

    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::ListQueue { .. } => Operation::ListQueue,
            Self::CreateQueue { .. } => Operation::CreateQueue,
            Self::SetQueueAttributes { .. } => Operation::SetQueueAttributes,
            Self::GetQueueAttributes { .. } => Operation::GetQueueAttributes,
            Self::DeleteQueue { .. } => Operation::DeleteQueue,
            Self::Send { batch: false, .. } => Operation::SendMessage,
            Self::Send { batch: true, .. } => Operation::BatchSendMessage,
            Self::Receive { most: None, .. } => Operation::ReceiveMessage,
            Self::Receive { most: Some(_), .. } => Operation::BatchReceiveMessage,
            Self::Peek { most: None, .. } => Operation::PeekMessage,
            Self::Peek { most: Some(_), .. } => Operation::BatchPeekMessage,
            Self::Delete { .. } => Operation::DeleteMessage,
            Self::BatchDelete { .. } => Operation::BatchDeleteMessage,
            Self::ChangeVisibility { .. } => Operation::ChangeMessageVisibility,
        }
    }
}

fn list(request: &Request) -> Result<Call, Refusal> {
    if request.method != Method::GET {
        return Err(Refusal::INVALID_REQUEST_URL);
    }
    let header = |name| request.header(name).unwrap_or_default().trim();
    let most = match header("x-mns-ret-number") {
        "" => 1000,
        number => number.parse().ok().filter(|number| (1..=1000).contains(number)).ok_or_else(|| {
            Refusal::invalid_argument("The value of x-mns-ret-number should be between 1 and 1000.")
        })?,
    };
    Ok(Call::ListQueue {
        prefix: header("x-mns-prefix").to_owned(),
        marker: header("x-mns-marker").to_owned(),
        most,
        with_meta: header("x-mns-with-meta").eq_ignore_ascii_case("true"),
    })
}

fn of_queue(request: &Request, queue: String, query: &Query<'_>) -> Result<Call, Refusal> {
    match request.method {
        Method::GET => Ok(Call::GetQueueAttributes { queue }),
        Method::DELETE => Ok(Call::DeleteQueue { queue }),
        Method::PUT => {
            let attributes = body::queue(&request.body)?;
            if query.flag("metaoverride") {
                Ok(Call::SetQueueAttributes { queue, attributes })
            } else {
                Ok(Call::CreateQueue { queue, attributes })
            }
        }
        _ => Err(Refusal::INVALID_REQUEST_URL),
    }
}

fn of_messages(request: &Request, queue: String, query: &Query<'_>) -> Result<Call, Refusal> {
    match request.method {
        Method::POST => {
            let (drafts, batch) = drafts(&request.body)?;
            Ok(Call::Send { queue, drafts, batch })
        }
        Method::GET => {
            let most = query.number("numOfMessages", 1..=16)?.map(|most| most as usize);
            if query.flag("peekonly") {
                return Ok(Call::Peek { queue, most });
            }
            Ok(Call::Receive { queue, most, wait_seconds: query.number("waitseconds", 0..=WAIT)? })
        }
        Method::DELETE => match query.text("ReceiptHandle")? {
            Some(handle) => Ok(Call::Delete { queue, handle }),
            None if request.body.is_empty() => Err(Refusal::MISSING_RECEIPT_HANDLE),
            None => Ok(Call::BatchDelete { queue, handles: handles(&request.body)? }),
        },
        Method::PUT => {
            let handle = query.text("ReceiptHandle")?.ok_or(Refusal::MISSING_RECEIPT_HANDLE)?;
            let timeout = query.number("VisibilityTimeout", 1..=43_200)?;
            let timeout = timeout.ok_or(Refusal::MISSING_VISIBILITY_TIMEOUT)?;
            Ok(Call::ChangeVisibility { queue, handle, timeout })
        }
        _ => Err(Refusal::INVALID_REQUEST_URL),
    }
}

/// The rule of today's documents; the former ones took names up to 256.
pub(crate) fn checked_name(name: &str) -> Result<String, Refusal> {
    if name.is_empty() || name.len() > 120 {
        return Err(Refusal::QUEUE_NAME_LENGTH);
    }
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits && !name.starts_with('-') { Ok(name.to_owned()) } else { Err(Refusal::INVALID_QUEUE_NAME) }
}

#[cfg(test)]
mod tests;
