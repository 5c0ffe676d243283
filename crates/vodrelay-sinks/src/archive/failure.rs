//! Why an image is not kept: every cause, what people are told, and whether trying again can help. `docs/ARCHIVE.md` has
//! the same table for readers, and a test compares the two.
//!
//! Messages name the host and the key to configure, never a path, a query, a signature or a key's value.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use vod_event::UrlAuthError;
use vodrelay_core::SinkError;
use vodrelay_core::config::{ByteSize, Span};
use vodrelay_core::sink::Retry;

use super::fetch::Refused;
use super::image_hosts::HostPattern;
use super::inspect::Flaw;

/// For how long an error is tried again that seldom passes.
const SHORT: Duration = Duration::from_hours(24);

/// A failure to keep one image. It says nothing of other images, nor of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) message: String,
    /// The status of the host's answer, where there was one.
    pub(super) status: Option<u16>,
    /// How long to wait at least.
    pub(super) after: Option<Duration>,
}

/// What went wrong. The word stands on the record, for queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Unsignable,
    Address,
    Redirect,
    Unreachable,
    Garbled,
    Denied,
    Missing,
    Gone,
    Status,
    Encoded,
    Stalled,
    Slow,
    TooLarge,
    CutShort,
    Foreign,
    Mismatch,
    Occupied,
}

/// For how long to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Patience {
    /// Not at all.
    Never,
    /// A day.
    Short,
    /// As long as `retry.age` of the sink says.
    Full,
}

impl Cause {
    /// The word on the record, and for how long to try again.
    const fn row(self) -> (&'static str, Patience) {
        match self {
            Self::Unsignable => ("unsignable", Patience::Full),
            Self::Address => ("address", Patience::Short),
            Self::Redirect => ("redirect", Patience::Full),
            Self::Unreachable => ("unreachable", Patience::Full),
            Self::Garbled => ("garbled", Patience::Full),
            Self::Denied => ("denied", Patience::Full),
            Self::Missing => ("missing", Patience::Short),
            Self::Gone => ("gone", Patience::Never),
            Self::Status => ("status", Patience::Full),
            Self::Encoded => ("encoded", Patience::Full),
            Self::Stalled => ("stalled", Patience::Full),
            Self::Slow => ("slow", Patience::Full),
            Self::TooLarge => ("too_large", Patience::Never),
            Self::CutShort => ("cut_short", Patience::Full),
            Self::Foreign => ("foreign", Patience::Full),
            Self::Mismatch => ("mismatch", Patience::Full),
            Self::Occupied => ("occupied", Patience::Never),
        }
    }

    /// All of them.
    pub(super) const ALL: [Self; 17] = [
        Self::Unsignable,
        Self::Address,
        Self::Redirect,
        Self::Unreachable,
        Self::Garbled,
        Self::Denied,
        Self::Missing,
        Self::Gone,
        Self::Status,
        Self::Encoded,
        Self::Stalled,
        Self::Slow,
        Self::TooLarge,
        Self::CutShort,
        Self::Foreign,
        Self::Mismatch,
        Self::Occupied,
    ];

    /// Those that no further attempt can mend.
    const FOR_EVER: [Self; 3] = [Self::Gone, Self::TooLarge, Self::Occupied];

    pub(super) const fn word(self) -> &'static str {
        self.row().0
    }
}

impl Failure {
    fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), status: None, after: None }
    }

    fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status.as_u16()), ..self }
    }

    pub(super) fn unsignable(host: &str, entry: &HostPattern, error: &UrlAuthError) -> Self {
        Self::new(Cause::Unsignable, format!("cannot sign for {host}: {error}; see auth of {}", Entry(entry)))
    }

    pub(super) fn address(host: &str, entry: &HostPattern, refused: Refused) -> Self {
        let Refused { address, class } = refused;
        let message = format!(
            "{host} is not asked, its address {address} is {class}; where that is meant, open it in allow_addresses of {}",
            Entry(entry)
        );
        Self::new(Cause::Address, message)
    }

    pub(super) fn redirect(host: &str, entry: &HostPattern, status: StatusCode, to: &str) -> Self {
        let message = format!(
            "{host} answered {status} and leads to {to}, which redirects of {} does not list",
            Entry(entry)
        );
        Self::new(Cause::Redirect, message).with_status(status)
    }

    /// The same host by https, which needs no redirect.
    pub(super) fn redirect_to_https(host: &str, entry: &HostPattern, status: StatusCode) -> Self {
        let message =
            format!("{host} answered {status} and wants https; set scheme = \"https\" in {}", Entry(entry));
        Self::new(Cause::Redirect, message).with_status(status)
    }

    pub(super) fn redirect_to_nowhere(host: &str, status: StatusCode) -> Self {
        let message = format!("{host} answered {status} and does not say where it leads to");
        Self::new(Cause::Redirect, message).with_status(status)
    }

    pub(super) fn too_many_redirects(host: &str, hops: usize) -> Self {
        Self::new(Cause::Redirect, format!("{host} leads on after {hops} redirects"))
    }

    pub(super) fn unreachable(host: &str, cause: &dyn fmt::Display) -> Self {
        Self::new(Cause::Unreachable, format!("{host} cannot be reached: {cause}"))
    }

    /// TLS was spoken to a host that does not.
    pub(super) fn plain_http(host: &str, entry: &HostPattern) -> Self {
        let message = format!(
            "{host} is asked by https, and it speaks plain HTTP there; see scheme of {}",
            Entry(entry)
        );
        Self::new(Cause::Unreachable, message)
    }

    /// Something came that is no answer. Whoever sends it is there.
    pub(super) fn garbled(host: &str, cause: &dyn fmt::Display) -> Self {
        Self::new(Cause::Garbled, format!("{host} does not answer as HTTP has it: {cause}"))
    }

    /// What the record says of an image that no further attempt can mend.
    pub(super) fn for_ever(cause: &str, reason: &str) -> Option<Self> {
        let cause = Cause::FOR_EVER.into_iter().find(|known| known.word() == cause)?;
        Some(Self::new(cause, reason))
    }

    /// Why it is denied is found out where the answer is read.
    pub(super) fn denied(host: &str, why: &str) -> Self {
        Self::new(Cause::Denied, format!("{host} answered 403: {why}")).with_status(StatusCode::FORBIDDEN)
    }

    /// An answer that is neither the image nor a redirect nor a denial.
    pub(super) fn status(host: &str, status: StatusCode, after: Option<Duration>) -> Self {
        let (cause, why) = match status {
            StatusCode::NOT_FOUND => {
                (Cause::Missing, ": the image was deleted, or its domain points elsewhere")
            }
            StatusCode::GONE => (Cause::Gone, ": the image was deleted"),
            _ => (Cause::Status, ""),
        };
        Self { after, ..Self::new(cause, format!("{host} answered {status}{why}")) }.with_status(status)
    }

    /// Only an encoding that everybody knows is named: the host's own words may repeat the signed URL.
    pub(super) fn encoded(host: &str, encoding: &[u8]) -> Self {
        let known = ["gzip", "br", "deflate", "zstd", "compress"];
        let known = known.into_iter().find(|known| encoding.eq_ignore_ascii_case(known.as_bytes()));
        let named = known.map_or("an unknown encoding".to_owned(), |known| format!("the encoding {known}"));
        Self::new(Cause::Encoded, format!("{host} sends the image in {named}, though none was asked for"))
    }

    pub(super) fn stalled(host: &str, idle: Duration) -> Self {
        Self::new(Cause::Stalled, format!("{host} sent nothing for {}", Span(idle)))
    }

    pub(super) fn slow(host: &str, entry: &HostPattern, min_speed: u64) -> Self {
        let speed = ByteSize(min_speed);
        let message =
            format!("{host} sends less than {speed} a second, which is min_speed of {}", Entry(entry));
        Self::new(Cause::Slow, message)
    }

    pub(super) fn too_large(host: &str, entry: &HostPattern, max_size: u64) -> Self {
        let message = format!(
            "the image of {host} is larger than {}, which is max_size of {}; raise it, then replay the event",
            ByteSize(max_size),
            Entry(entry)
        );
        Self::new(Cause::TooLarge, message)
    }

    pub(super) fn cut_short(host: &str, got: u64, announced: Option<u64>, cause: &dyn fmt::Display) -> Self {
        let of = announced.map(|announced| format!(" of {announced}")).unwrap_or_default();
        Self::new(Cause::CutShort, format!("{host} broke off after {got}{of} bytes: {cause}"))
    }

    /// The body is not one whole image.
    pub(super) fn flaw(host: &str, flaw: &Flaw) -> Self {
        let cause = match flaw {
            Flaw::Empty | Flaw::CutShort(_) => Cause::CutShort,
            Flaw::Foreign(_) | Flaw::Damaged(..) | Flaw::Trailing(_) => Cause::Foreign,
        };
        Self::new(cause, format!("{host} sent no whole image: {flaw}"))
    }

    pub(super) fn mismatch(host: &str, what: &str) -> Self {
        Self::new(Cause::Mismatch, format!("{host} sent another image than the event tells of: {what}"))
    }

    pub(super) fn occupied(key: &str, why: &str) -> Self {
        let message = format!(
            "what stands at {key} in the store is not this image: {why}; move it away, then replay the event"
        );
        Self::new(Cause::Occupied, message)
    }

    /// What the dispatcher is told of all failures of an event, by the places of their images: to try again as long as
    /// one of them can pass, and as soon as one of them may.
    pub(super) fn of_all(failures: &[(usize, Self)]) -> Option<SinkError> {
        let patience = |failure: &Self| failure.cause.row().1;
        let first = failures.first()?;
        let longer = |one, other| if patience(other) > patience(one) { other } else { one };
        let decisive = failures.iter().map(|(_, failure)| failure).fold(&first.1, longer);
        let can_pass = failures.iter().filter(|(_, failure)| patience(failure) > Patience::Never);
        // Nothing is less than any wait that was asked for.
        let after = can_pass.map(|(_, failure)| failure.after).min().flatten();
        let mut told: Vec<_> = failures.iter().collect();
        told.sort_by_key(|(place, _)| *place);
        let told: Vec<String> =
            told.iter().map(|(place, failure)| format!("image {place}: {}", failure.message)).collect();
        let decisive = Self { after, ..decisive.clone() };
        Some(SinkError { message: told.join("; "), ..decisive.sink_error() })
    }

    /// What the dispatcher is told of this one.
    fn sink_error(&self) -> SinkError {
        let give_up_after = match self.cause.row().1 {
            // An event is tried again without holding the host's state against the sink.
            Patience::Full => Some(Duration::MAX),
            Patience::Short => Some(SHORT),
            Patience::Never => None,
        };
        let retry = match give_up_after {
            Some(_) => Retry::Temporary { after: self.after, give_up_after },
            None => Retry::Permanent,
        };
        SinkError { retry, status: self.status, message: self.message.clone() }
    }
}

/// How messages name an entry.
struct Entry<'e>(&'e HostPattern);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the entry {} of image_hosts", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_same_table() {
        let document = include_str!("../../../../docs/ARCHIVE.md");
        let rows: Vec<(&str, &str)> = document
            .lines()
            .skip_while(|line| !line.starts_with("| `cause`"))
            .skip(2)
            .map_while(|line| line.strip_prefix("| `"))
            .filter_map(|row| {
                let (word, rest) = row.split_once('`')?;
                Some((word, rest.split('|').nth(2)?.trim()))
            })
            .collect();
        let expected = Cause::ALL.map(|cause| {
            let (word, patience) = cause.row();
            (
                word,
                match patience {
                    Patience::Full => "`retry.age`",
                    Patience::Short => "a day",
                    Patience::Never => "not at all",
                },
            )
        });
        assert_eq!(rows, expected);
    }

    #[test]
    fn those_for_ever_are_those_that_are_not_tried_again() {
        let never = Cause::ALL.into_iter().filter(|cause| cause.row().1 == Patience::Never);
        assert_eq!(never.collect::<Vec<_>>(), Cause::FOR_EVER);
    }

    #[test]
    fn of_several_the_longest_patience_and_the_least_wait_count() {
        let check = |failures: &[(Cause, Option<u64>)], expect: Retry| {
            let failures: Vec<(usize, Failure)> = failures
                .iter()
                .map(|&(cause, after)| Failure {
                    after: after.map(Duration::from_secs),
                    ..Failure::new(cause, "m")
                })
                .enumerate()
                .collect();
            assert_eq!(Failure::of_all(&failures).unwrap().retry, expect, "{failures:?}");
        };
        let again = |after: Option<u64>, limit| Retry::Temporary {
            after: after.map(Duration::from_secs),
            give_up_after: Some(limit),
        };
        let (gone, missing, status) = (Cause::Gone, Cause::Missing, Cause::Status);
        check(&[(missing, None), (status, None)], again(None, Duration::MAX));
        check(&[(missing, Some(9)), (status, Some(7)), (missing, Some(8))], again(Some(7), Duration::MAX));
        check(&[(status, Some(9)), (missing, None)], again(None, Duration::MAX));
        check(&[(gone, None), (missing, Some(9))], again(Some(9), SHORT));
        check(&[(gone, None), (Cause::TooLarge, None)], Retry::Permanent);
        assert_eq!(Failure::of_all(&[]), None);
    }

    #[test]
    fn an_encoding_is_named_only_where_it_is_a_known_one() {
        let check = |encoding: &str, expect: &str| {
            let message = Failure::encoded("h", encoding.as_bytes()).message;
            assert_eq!(message, format!("h sends the image in {expect}, though none was asked for"));
        };
        check("GZIP", "the encoding gzip");
        check("zstd", "the encoding zstd");
        check("/a.gif?auth_key=1-2-3-4", "an unknown encoding");
    }

    #[test]
    fn the_dispatcher_is_told_for_how_long() {
        let check = |cause: Cause, expect: Retry| {
            let failure = Failure { after: Some(Duration::from_secs(7)), ..Failure::new(cause, "m") };
            assert_eq!(failure.sink_error().retry, expect, "{cause:?}");
        };
        let again =
            |limit| Retry::Temporary { after: Some(Duration::from_secs(7)), give_up_after: Some(limit) };
        check(Cause::Denied, again(Duration::MAX));
        check(Cause::Missing, again(Duration::from_hours(24)));
        check(Cause::Gone, Retry::Permanent);
    }
}
