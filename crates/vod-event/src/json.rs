//! JSON as it arrives: a reader that borrows from the text, keeps number tokens, and tolerates what the provider's
//! documents and senders get wrong, noting each oddity instead of failing.
//!
//! What it tolerates: a byte order mark, raw control characters in strings, a trailing comma, names padded with
//! blanks, the same name again with an equal value, an escape of half a surrogate pair (read as U+FFFD).
//! What it does not: the same name with different values, nesting deeper than [`MAX_DEPTH`], anything else that
//! is not JSON.

mod duplicates;
mod parser;
mod string;
mod write;

use std::borrow::Cow;

use thiserror::Error;

pub(crate) use parser::is_number;
pub use parser::parse;
pub(crate) use write::write;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 64;

/// A text that was read.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// What it says.
    pub value: Value<'a>,
    /// What was odd in it; each kind once, at its first place.
    pub oddities: Vec<Oddity>,
}

/// One JSON value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as its own token, so that no digit is lost.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Self>),
    /// An object.
    Object(Object<'a>),
}

/// The members of an object in the order of the text, each name once.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    members: Vec<Member<'a>>,
}

/// A name and its value.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The name, unescaped and without blanks around it.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Value<'a>,
    /// The text of the value, as it stands in the document.
    pub raw: &'a str,
}

impl<'a> Object<'a> {
    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.member(name).map(|member| &member.value)
    }

    /// All members, in the order of the text.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }
}

/// Something that a strict reader would have stumbled over, or that two readers might read differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// What it is.
    pub kind: OddityKind,
    /// The names that lead to it, with dots between them; empty for the text as a whole.
    pub path: String,
}

/// The kinds of oddities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OddityKind {
    /// U+FEFF in front of the text.
    ByteOrderMark,
    /// A line feed or carriage return inside a string, not escaped.
    RawLineFeed,
    /// Another control character inside a string, not escaped.
    RawControl,
    /// A comma with nothing after it.
    TrailingComma,
    /// A name with blanks around it.
    PaddedName,
    /// A name that stands twice with the same value.
    RepeatedName,
    /// An escape of half a surrogate pair; what it meant is lost.
    LoneSurrogate,
}

impl OddityKind {
    /// The oddity in words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte order mark before the text",
            Self::RawLineFeed => "raw line feeds inside the string",
            Self::RawControl => "raw control characters inside the string",
            Self::TrailingComma => "trailing comma",
            Self::PaddedName => "blanks around the name",
            Self::RepeatedName => "stands twice, with equal values",
            Self::LoneSurrogate => "escape of half a surrogate pair, read as U+FFFD",
        }
    }

    /// Whether the raw text of a value may hold this, and would not be JSON then.
    pub(crate) fn breaks_raw_text(self) -> bool {
        matches!(self, Self::RawLineFeed | Self::RawControl | Self::TrailingComma | Self::LoneSurrogate)
    }
}

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, in bytes from the start of the text.
    pub offset: usize,
}

/// The kinds of errors.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing but blanks.
    #[error("nothing but blanks")]
    Empty,
    /// The text stops before the value does.
    #[error("the text ends in the middle of {0}")]
    EndsEarly(&'static str),
    /// A character that cannot stand here.
    #[error("found {found:?} instead of {expected}")]
    Unexpected {
        /// What stands there.
        found: char,
        /// What could have.
        expected: &'static str,
    },
    /// Something follows the value.
    #[error("something follows the value")]
    Trailing,
    /// Nesting beyond [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The same name, after unescaping and trimming, with different values.
    #[error("{0:?} stands twice with different values")]
    DuplicateName(String),
}
