//! The error codes of the API: what a request is turned away with.

use std::borrow::Cow;

use thiserror::Error;

/// A request that was turned away, as the answer's `Error` element says it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The provider's code, spelled as the provider spells it.
    pub code: &'static str,
    /// A sentence for people; clients must not match on it.
    pub message: Cow<'static, str>,
}

const fn refusal(status: u16, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, code, message: Cow::Borrowed(message) }
}

impl Refusal {
    pub(crate) const MISSING_AUTHORIZATION: Self =
        refusal(400, "MissingAuthorizationHeader", "Authorization header is required.");
    pub(crate) const INVALID_AUTHORIZATION: Self = refusal(
        400,
        "InvalidAuthorizationHeader",
        "The Authorization header format is invalid, it should be \"MNS AccessKeyId:Signature\".",
    );
    pub(crate) const MISSING_DATE: Self = refusal(400, "MissingDateHeader", "Date header is required.");
    pub(crate) const INVALID_DATE: Self =
        refusal(400, "InvalidDateHeader", "The Date header is not in RFC 1123 format.");
    pub(crate) const MISSING_VERSION: Self =
        refusal(400, "MissingVersionHeader", "x-mns-version header is required.");
    pub(crate) const INVALID_VERSION: Self =
        refusal(400, "InvalidVersionHeader", "The x-mns-version header should be 2015-06-06.");
    pub(crate) const INVALID_CONTENT_TYPE: Self =
        refusal(400, "InvalidContentType", "The Content-Type should be text/xml or application/xml.");
    /// The missing letter is the provider's.
    pub(crate) const INVALID_DIGEST: Self =
        refusal(400, "InvalidDegist", "The Content-MD5 you specified is not valid.");
    pub(crate) const INVALID_ACCESS_KEY_ID: Self =
        refusal(403, "InvalidAccessKeyId", "The AccessKey Id you provided is not exist.");
    pub(crate) const SIGNATURE_DOES_NOT_MATCH: Self = refusal(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided.",
    );
    pub(crate) const ACCESS_DENIED: Self =
        refusal(403, "AccessDenied", "The security token you provided is not valid.");
    pub(crate) const TIME_EXPIRED: Self =
        refusal(408, "TimeExpired", "The request time is too far from the time of the server.");

    pub(crate) const INVALID_REQUEST_URL: Self =
        refusal(400, "InvalidRequestURL", "Http request URL is not valid.");
    pub(crate) const MALFORMED_XML: Self =
        refusal(400, "MalformedXML", "The XML you provided was not well-formed.");
    pub(crate) const MISSING_RECEIPT_HANDLE: Self =
        refusal(400, "MissingReceiptHandle", "ReceiptHandle is required.");
    pub(crate) const MISSING_VISIBILITY_TIMEOUT: Self =
        refusal(400, "MissingVisibilityTimeout", "VisibilityTimeout is required.");
    pub(crate) const RECEIPT_HANDLE_ERROR: Self =
        refusal(400, "ReceiptHandleError", "The receipt handle you provide is not valid.");
    pub(crate) const INVALID_QUEUE_NAME: Self = refusal(
        400,
        "InvalidQueueName",
        "A queue name has letters, digits and hyphens, and starts with a letter or a digit.",
    );
    pub(crate) const QUEUE_NAME_LENGTH: Self =
        refusal(400, "QueueNameLengthError", "The length of a queue name is between 1 and 120.");
    pub(crate) const QUEUE_DELETED_RECENTLY: Self =
        refusal(400, "QueueDeletedRecently", "You must wait before you create a queue of that name again.");
    pub(crate) const QUEUE_ALREADY_EXIST: Self =
        refusal(409, "QueueAlreadyExist", "The queue you want to create is already exist.");
    pub(crate) const QUEUE_NOT_EXIST: Self =
        refusal(404, "QueueNotExist", "The queue name you provided is not exist.");
    pub(crate) const MESSAGE_NOT_EXIST: Self = refusal(404, "MessageNotExist", "Message not exist.");

    pub(crate) const TOO_MANY_REQUESTS: Self = refusal(
        429,
        "TooManyRequests",
        "The request is denied by cluster flow limiter for too many requests.",
    );
    pub(crate) const INTERNAL_ERROR: Self = refusal(500, "InternalError", "Internal Error.");

    /// Something in the body or a parameter is outside of what it may be.
    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self { status: 400, code: "InvalidArgument", message: Cow::Owned(message.into()) }
    }

    /// A query parameter cannot be read.
    pub(crate) fn invalid_query(name: &str) -> Self {
        let message = format!("The query parameter {name} is not valid.");
        Self { status: 400, code: "InvalidQueryString", message: Cow::Owned(message) }
    }
}
