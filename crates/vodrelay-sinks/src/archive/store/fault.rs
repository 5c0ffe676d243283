//! What a store's errors mean: the one place that reads them.
//!
//! The client keeps the status and the store's own code to its messages, so both are read from there.

use object_store::Error;

use super::Asked;
use crate::archive::credentials::NoKeys;
use crate::exchange::speaks_plain_http;

/// How much of a store's error is kept, in characters: some answer with pages of XML.
const EXCERPT: usize = 400;

/// What went wrong, as far as it matters to us or to whoever has to mend it. Trying again can help against each of
/// them: keys, rights and buckets get mended, and the record fits then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An object stands under the key already.
    Exists,
    /// No object stands under the key.
    NoObject,
    /// Another write to the same key is under way.
    Conflict,
    /// The store does not know a header, or an operation.
    NotImplemented,
    NoBucket,
    NoKeys,
    UnknownKey,
    WrongSecret,
    ExpiredToken,
    Denied,
    WrongClock,
    WrongRegion,
    NeedsHostStyle,
    WrongClass,
    InArchive,
    Busy,
    Full,
    /// The host has no address.
    NoHost,
    /// TLS was spoken to somebody who does not.
    PlainHttp,
    /// Whoever answers is no store.
    NoStore,
    Other,
}

/// The codes of S3, and those that OSS, MinIO and s3s have of their own. `docs/STORES.md` has the same table.
const CODES: [(&str, Fault); 27] = [
    ("FileAlreadyExists", Fault::Exists),
    ("NoSuchKey", Fault::NoObject),
    ("ConditionalRequestConflict", Fault::Conflict),
    ("OperationAborted", Fault::Conflict),
    ("NotImplemented", Fault::NotImplemented),
    ("NoSuchBucket", Fault::NoBucket),
    ("InvalidBucketName", Fault::NoBucket),
    ("InvalidAccessKeyId", Fault::UnknownKey),
    ("NotSignedUp", Fault::UnknownKey),
    ("SignatureDoesNotMatch", Fault::WrongSecret),
    ("ExpiredToken", Fault::ExpiredToken),
    ("InvalidToken", Fault::ExpiredToken),
    ("SecurityTokenExpired", Fault::ExpiredToken),
    ("InvalidSecurityToken", Fault::ExpiredToken),
    ("AccessDenied", Fault::Denied),
    ("AllAccessDisabled", Fault::Denied),
    ("RequestTimeTooSkewed", Fault::WrongClock),
    ("AuthorizationHeaderMalformed", Fault::WrongRegion),
    ("PermanentRedirect", Fault::WrongRegion),
    ("SecondLevelDomainForbidden", Fault::NeedsHostStyle),
    ("InvalidStorageClass", Fault::WrongClass),
    ("InvalidObjectState", Fault::InArchive),
    ("SlowDown", Fault::Busy),
    ("ServiceUnavailable", Fault::Busy),
    ("QuotaExceeded", Fault::Full),
    ("XMinioStorageFull", Fault::Full),
    ("XMinioAdminBucketQuotaExceeded", Fault::Full),
];

impl Fault {
    /// What to do about it, a fragment; `key` is the access key that signed, `asked` who was asked.
    pub(super) fn mend(self, key: Option<&str>, asked: Option<&Asked>) -> String {
        let key = key.unwrap_or("that signed");
        match self {
            Self::NoBucket => "there is no such bucket at this endpoint; make it, or correct url".to_owned(),
            Self::NoKeys => "there are no keys to sign with".to_owned(),
            Self::UnknownKey => format!("the store does not know the access key {key}"),
            Self::WrongSecret => format!("the secret does not belong to the access key {key}"),
            Self::ExpiredToken => {
                format!("the token of the access key {key} has expired or is not its own; see to its renewal")
            }
            Self::Denied => format!("the access key {key} lacks the right to do so"),
            Self::WrongClock => "the clock of this machine is wrong; set it".to_owned(),
            Self::WrongRegion => "the bucket is in another region; correct region".to_owned(),
            Self::NeedsHostStyle => "the store wants the bucket in the host; leave path_style out".to_owned(),
            Self::WrongClass => "the store does not have this storage class; correct it".to_owned(),
            Self::InArchive => "the object is in an archive class; restore it first".to_owned(),
            Self::Busy => "the store asks to slow down".to_owned(),
            Self::Full => "the store is full, or the quota used up".to_owned(),
            Self::Conflict => "another write to it is under way".to_owned(),
            Self::NotImplemented => "the store does not know what was asked".to_owned(),
            Self::NoHost => no_host(asked),
            Self::PlainHttp => {
                "it speaks plain HTTP there; where that is meant, begin endpoint with http://".to_owned()
            }
            Self::NoStore => "what answers there does not speak S3; correct endpoint".to_owned(),
            Self::Exists | Self::NoObject | Self::Other => String::new(),
        }
    }

    /// Whether it is about the keys, which then are worth a name.
    pub(super) fn is_of_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::WrongSecret | Self::ExpiredToken | Self::Denied)
    }
}

fn no_host(asked: Option<&Asked>) -> String {
    asked.map_or_else(String::new, |Asked { host, mend }| format!("the host {host} has no address; {mend}"))
}

/// What the error means.
pub(super) fn of(error: &Error) -> Fault {
    if matches!(error, Error::Generic { source, .. } if source.is::<NoKeys>()) {
        return Fault::NoKeys;
    }
    let text = innermost(error);
    let coded = code(&text).and_then(|code| CODES.iter().find(|(known, _)| *known == code));
    if let Some((_, fault)) = coded {
        return *fault;
    }
    match (error, status(&text)) {
        (_, Some(300..=399)) => Fault::WrongRegion,
        (_, Some(401)) => Fault::UnknownKey,
        (_, Some(403)) => Fault::Denied,
        (_, Some(409)) => Fault::Conflict,
        (_, Some(429 | 503)) => Fault::Busy,
        (_, Some(501)) => Fault::NotImplemented,
        (_, Some(507)) => Fault::Full,
        (Error::AlreadyExists { .. } | Error::Precondition { .. }, _) => Fault::Exists,
        (Error::NotFound { .. }, _) => Fault::NoObject,
        _ if text.contains("redirect without LOCATION") => Fault::WrongRegion,
        _ if text.contains("failed to lookup address") => Fault::NoHost,
        _ if speaks_plain_http(&text) => Fault::PlainHttp,
        // Every answer of a store to a write has one.
        _ if text.contains("ETag Header missing") => Fault::NoStore,
        _ => Fault::Other,
    }
}

/// Whether anything else that is asked now would end the same way.
pub(super) fn is_of_the_moment(error: &Error) -> bool {
    match of(error) {
        Fault::Busy | Fault::Full | Fault::NoKeys => true,
        Fault::Other => status_of(error).is_none_or(|status| status >= 500),
        _ => false,
    }
}

/// The status of the store's answer, where there was one.
pub(super) fn status_of(error: &Error) -> Option<u16> {
    status(&innermost(error))
}

/// The cause, in few words: the store's own code and message where it has sent them.
pub(in super::super) fn cause(error: &Error) -> String {
    let text = innermost(error);
    let told = code(&text).map(|code| match within(&text, "Message") {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    });
    let words = told.unwrap_or(text);
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").chars().take(EXCERPT).collect()
}

fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn status(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

fn code(text: &str) -> Option<&str> {
    within(text, "Code")
}

/// What stands in this element, in the plain XML that errors are.
fn within<'t>(text: &'t str, element: &str) -> Option<&'t str> {
    let (_, from) = text.split_once(&format!("<{element}>"))?;
    from.split_once(&format!("</{element}>")).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client says of an answer.
    #[derive(Debug, thiserror::Error)]
    #[error("Server returned non-2xx status code: {0}: {1}")]
    struct Answer(&'static str, &'static str);

    fn generic(status: &'static str, body: &'static str) -> Error {
        Error::Generic { store: "S3", source: Box::new(Answer(status, body)) }
    }

    #[test]
    fn the_document_has_every_code() {
        let document = include_str!("../../../../../docs/STORES.md");
        let lacks = CODES.iter().find(|(code, _)| !document.contains(&format!("`{code}`")));
        assert_eq!(lacks, None, "docs/STORES.md lacks a code");
    }

    #[test]
    fn what_an_error_means() {
        let check = |error: Error, fault: Fault| assert_eq!(of(&error), fault, "{error}");
        let path = || "a/b".to_owned();
        let answer = |status, body| Box::new(Answer(status, body));
        check(generic("400 Bad Request", "<Error><Code>ExpiredToken</Code></Error>"), Fault::ExpiredToken);
        check(generic("403 Forbidden", "nginx"), Fault::Denied);
        check(generic("501 Not Implemented", ""), Fault::NotImplemented);
        check(generic("301 Moved Permanently", ""), Fault::WrongRegion);
        check(generic("500 Internal Server Error", "<Code>InternalError</Code>"), Fault::Other);
        let missing = "<Error><Code>NoSuchBucket</Code></Error>";
        check(Error::NotFound { path: path(), source: answer("404 Not Found", missing) }, Fault::NoBucket);
        check(Error::NotFound { path: path(), source: answer("404 Not Found", "") }, Fault::NoObject);
        let failed = answer("412 Precondition Failed", "");
        let failed = Error::Precondition { path: path(), source: failed };
        check(Error::AlreadyExists { path: path(), source: Box::new(failed) }, Fault::Exists);
        let failed = answer("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>");
        check(Error::Precondition { path: path(), source: failed }, Fault::Exists);
        // 409 is how OSS says that the object exists, and how S3 says that nobody knows yet.
        let exists = answer("409 Conflict", "<Error><Code>FileAlreadyExists</Code></Error>");
        check(Error::AlreadyExists { path: path(), source: exists }, Fault::Exists);
        let conflict = answer("409 Conflict", "<Error><Code>ConditionalRequestConflict</Code></Error>");
        check(Error::AlreadyExists { path: path(), source: conflict }, Fault::Conflict);
        check(Error::AlreadyExists { path: path(), source: answer("409 Conflict", "") }, Fault::Conflict);
    }

    #[test]
    fn a_cause_is_the_code_and_the_message_or_the_innermost_error() {
        let told = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code>\n<Message>Reduce your\n rate.</Message></Error>";
        assert_eq!(cause(&generic("503 Service Unavailable", told)), "SlowDown: Reduce your rate.");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let refused = Error::Generic { store: "S3", source: Box::new(refused) };
        assert_eq!(cause(&refused), "connection refused");
        assert_eq!(status_of(&generic("503 Service Unavailable", "")), Some(503));
        assert_eq!(
            cause(&generic("502 Bad Gateway", &"<p>".repeat(1000).leak()[..])).chars().count(),
            EXCERPT
        );
    }
}
