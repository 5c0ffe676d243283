//! From what came of a call to an HTTP response of the service's look.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderName, LOCATION, SERVER};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::queue::Message;
use crate::refusal::Refusal;
use crate::settings::{Format, Settings};
use crate::xml::{self, Element};

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) root: Option<Element>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, location: None, root: None }
    }

    pub(crate) fn of(status: u16, root: Element) -> Self {
        Self { status, location: None, root: Some(root) }
    }

    pub(crate) fn refused(refusal: &Refusal, request_id: &str, host: &str) -> Self {
        let inner = vec![
            Element::text("Code", refusal.code),
            Element::text("Message", &refusal.message),
            Element::text("RequestId", request_id),
            Element::text("HostId", &format!("http://{host}")),
        ];
        Self::of(refusal.status, Element::new("Error", inner))
    }
}

/// The two elements that say what became of an entry of a batch.
pub(crate) fn entry_error(refusal: &Refusal) -> Vec<Element> {
    vec![Element::text("ErrorCode", refusal.code), Element::text("ErrorMessage", &refusal.message)]
}

/// On which occasion a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Sent,
    Received,
    Peeked,
}

/// A message with the elements of the occasion, in the order of the generation.
pub(crate) fn message_element(message: &Message, shown: Shown, format: Format) -> Element {
    let id = Element::text("MessageId", &message.id);
    let md5 = Element::text("MessageBodyMD5", &message.md5);
    let handle = message.handle.as_ref().map(|handle| Element::text("ReceiptHandle", handle));
    if shown == Shown::Sent {
        return Element::new("Message", [id, md5].into_iter().chain(handle).collect());
    }
    let received = shown == Shown::Received;
    let handle = handle.filter(|_| received);
    let body = Element::text("MessageBody", &message.body);
    let milliseconds =
        |name, at: Option<Timestamp>| Element::text(name, &at.map_or(0, Timestamp::as_millisecond));
    let enqueued = milliseconds("EnqueueTime", Some(message.enqueued_at));
    let first = milliseconds("FirstDequeueTime", message.first_dequeued_at);
    let next = received.then(|| milliseconds("NextVisibleTime", message.hidden_until));
    let count = Element::text("DequeueCount", &message.dequeue_count);
    let priority = Element::text("Priority", &message.priority);
    let mut elements: Vec<Option<Element>> = match format {
        Format::Current => {
            vec![Some(id), Some(md5), Some(body), handle, Some(enqueued), Some(first), next]
        }
        Format::Old => vec![Some(id), handle, Some(body), Some(md5), Some(enqueued), next, Some(first)],
    };
    elements.extend([Some(count), Some(priority)]);
    elements.extend(message.properties.iter().cloned().map(Some));
    Element::new("Message", elements.into_iter().flatten().collect())
}

/// How an answer goes out.
#[derive(Debug)]
pub(crate) enum Reply {
    Whole(Answer),
    /// Breaks off in the middle.
    Cut(Answer),
    /// Something in front of the service answers, in its own way.
    Gateway {
        status: u16,
        page: &'static str,
    },
    /// The connection is closed without an answer.
    Close,
}

/// The response, or nothing if the connection is to be closed.
pub(crate) fn response(
    reply: Reply,
    request_id: &str,
    settings: &Settings,
    now: Timestamp,
) -> Option<Response<Pieces>> {
    let (answer, cut) = match reply {
        Reply::Whole(answer) => (answer, false),
        Reply::Cut(answer) => (answer, true),
        Reply::Gateway { status, page } => return Some(plain(status, "text/html", page)),
        Reply::Close => return None,
    };
    let document = answer.root.map(|root| xml::write(&root, settings.layout())).unwrap_or_default();
    let mut response = plain(answer.status, "text/xml;charset=utf-8", "");
    *response.body_mut() = Pieces::new(document, !settings.chunked, cut);
    let mut set = |name: HeaderName, value: &str| {
        // Everything set here is plain ASCII, so none is ever left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(SERVER, "AliyunMQS");
    set(DATE, &DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap_or_default());
    set(HeaderName::from_static("x-mns-version"), "2015-06-06");
    set(HeaderName::from_static("x-mns-request-id"), request_id);
    if settings.format == Format::Current {
        set(HeaderName::from_static("x-mns-response-format"), "xml");
        set(HeaderName::from_static("x-mns-netty-total-time"), "1");
        set(HeaderName::from_static("x-mns-threadpool-wait-time"), "0");
        set(HeaderName::from_static("x-mns-account-type"), "");
    }
    if let Some(location) = &answer.location {
        set(LOCATION, location);
    }
    Some(response)
}

/// A response without any header of the service.
pub(crate) fn plain(status: u16, content_type: &'static str, body: impl Into<String>) -> Response<Pieces> {
    let mut response = Response::new(Pieces::new(body.into(), true, false));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body in two pieces, which may break off after the first.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    length: Option<u64>,
    cut: bool,
}

impl Pieces {
    fn new(text: String, sized: bool, cut: bool) -> Self {
        let mut second = Bytes::from(text);
        let length = (sized || second.is_empty()).then_some(second.len() as u64);
        let first = second.split_to(second.len() / 2);
        let pieces = [first, if cut { Bytes::new() } else { second }];
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(), length, cut }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match self.pieces.pop_front() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.cut => Some(Err(io::Error::other("the answer is cut here"))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Nothing to answer: what makes hyper close a connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(crate) struct Closed;
