//! What the watcher sees at one look, before it is decided who is told of it and when.

use crate::kind::Kind;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) kind: Kind,
    /// The sink, the source, or nothing where there is only one such thing.
    pub(crate) subject: String,
    pub(crate) seen: Seen,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Something is wrong, and it lasts.
    On(Finding),
    /// It is well.
    Off,
    /// Nobody can say at the moment; what was said before stands.
    Unclear,
    /// It happened that often since the last look.
    Times(u64, Finding),
}

/// What is wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A sentence without a full stop.
    pub(crate) what: String,
    /// What to do: a command where there is one.
    pub(crate) next: String,
}

impl Finding {
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

impl Sight {
    pub(crate) fn new(kind: Kind, subject: impl Into<String>, seen: Seen) -> Self {
        Self { kind, subject: subject.into(), seen }
    }

    /// Something that is or is not so.
    pub(crate) fn on_if(kind: Kind, subject: impl Into<String>, found: Option<Finding>) -> Self {
        Self::new(kind, subject, found.map_or(Seen::Off, Seen::On))
    }
}
