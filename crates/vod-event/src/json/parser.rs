//! The reader itself: one pass over the text, recursive, with a bounded depth.

use std::borrow::Cow;

use super::{Document, Error, ErrorKind, MAX_DEPTH, Member, Object, Oddity, OddityKind, Value, duplicates};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads one JSON text.
///
/// # Errors
/// With the first thing that keeps the text from being read, and where it stands.
pub fn parse(text: &str) -> Result<Document<'_>, Error> {
    let mut parser = Parser::new(text);
    if text.starts_with(BYTE_ORDER_MARK) {
        parser.at = BYTE_ORDER_MARK.len();
        parser.note(OddityKind::ByteOrderMark, "");
    }
    if parser.peek().is_none() {
        return Err(parser.error(ErrorKind::Empty));
    }
    let value = parser.value()?;
    if parser.peek().is_some() {
        return Err(parser.error(ErrorKind::Trailing));
    }
    Ok(Document { value, oddities: parser.oddities })
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    /// Offset of the next byte to read; always at a character boundary.
    pub(super) at: usize,
    /// Where strings are unescaped, so that each allocates once and exactly.
    pub(super) scratch: String,
    depth: usize,
    oddities: Vec<Oddity>,
    /// One bit for each kind that was noted.
    noted: u8,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, scratch: String::new(), depth: 0, oddities: Vec::new(), noted: 0 }
    }

    fn value(&mut self) -> Result<Value<'a>, Error> {
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'{') => self.object().map(Value::Object),
            Some(b'[') => self.array().map(Value::Array),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.unexpected("a value", "a value")),
        }
    }

    fn object(&mut self) -> Result<Object<'a>, Error> {
        self.enter()?;
        let mut members = self.room();
        loop {
            match self.peek() {
                Some(b'"') => members.push(self.member()?),
                Some(b'}') => {
                    self.after_comma(!members.is_empty());
                    break;
                }
                _ => return Err(self.unexpected("a name or '}'", "an object")),
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("',' or '}'", "an object")),
            }
        }
        self.leave();
        self.settle_duplicates(&mut members)?;
        Ok(Object { members })
    }

    fn member(&mut self) -> Result<Member<'a>, Error> {
        let name = self.string()?;
        let name = self.trimmed(name);
        match self.peek() {
            Some(b':') => self.at += 1,
            _ => return Err(self.unexpected("':'", "an object")),
        }
        self.skip_blanks();
        let (start, noted_before) = (self.at, self.oddities.len());
        let value = self.value()?;
        for oddity in self.oddities.iter_mut().skip(noted_before) {
            let dot = if oddity.path.is_empty() { "" } else { "." };
            oddity.path.insert_str(0, dot);
            oddity.path.insert_str(0, &name);
        }
        Ok(Member { name, value, raw: self.slice(start, self.at) })
    }

    fn array(&mut self) -> Result<Vec<Value<'a>>, Error> {
        self.enter()?;
        let mut elements = Vec::new();
        loop {
            match self.peek() {
                Some(b']') => {
                    self.after_comma(!elements.is_empty());
                    break;
                }
                Some(_) => elements.push(self.value()?),
                None => return Err(self.unexpected("a value or ']'", "an array")),
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("',' or ']'", "an array")),
            }
        }
        self.leave();
        Ok(elements)
    }

    fn number(&mut self) -> Result<&'a str, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match number_length(rest.as_bytes()) {
            Ok(length) => {
                let start = self.at;
                self.at += length;
                Ok(self.slice(start, self.at))
            }
            Err(length) => {
                self.at += length;
                Err(self.unexpected("a digit", "a number"))
            }
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, Error> {
        for expected in word.bytes() {
            if self.byte() != Some(expected) {
                return Err(self.unexpected(word, word));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn enter(&mut self) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(ErrorKind::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Room for the usual number of members; deep inside, where a hostile text could multiply it, for one.
    fn room(&self) -> Vec<Member<'a>> {
        Vec::with_capacity(if self.depth <= 2 { 8 } else { 1 })
    }

    fn after_comma(&mut self, is_after_comma: bool) {
        if is_after_comma {
            self.note(OddityKind::TrailingComma, "");
        }
    }

    fn trimmed(&mut self, name: Cow<'a, str>) -> Cow<'a, str> {
        let length = name.trim_ascii().len();
        if length == name.len() {
            return name;
        }
        let name = match name {
            Cow::Borrowed(name) => Cow::Borrowed(name.trim_ascii()),
            Cow::Owned(name) => Cow::Owned(name.trim_ascii().to_owned()),
        };
        self.note(OddityKind::PaddedName, &name);
        name
    }

    fn settle_duplicates(&mut self, members: &mut Vec<Member<'a>>) -> Result<(), Error> {
        match duplicates::settle(members) {
            Ok(None) => Ok(()),
            Ok(Some(name)) => {
                self.note(OddityKind::RepeatedName, &name);
                Ok(())
            }
            Err(conflict) => {
                let offset = conflict.raw.as_ptr().addr() - self.text.as_ptr().addr();
                Err(Error { kind: ErrorKind::DuplicateName(conflict.name), offset })
            }
        }
    }

    pub(super) fn note(&mut self, kind: OddityKind, path: &str) {
        let bit = 1 << kind as u8;
        if self.noted & bit == 0 {
            self.noted |= bit;
            self.oddities.push(Oddity { kind, path: path.to_owned() });
        }
    }

    /// The next byte that is no blank, without taking it.
    fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.byte()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    pub(super) fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The error for what stands at the current offset, or for the end of the text there.
    pub(super) fn unexpected(&self, expected: &'static str, inside: &'static str) -> Error {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => self.error(ErrorKind::Unexpected { found, expected }),
            None => self.error(ErrorKind::EndsEarly(inside)),
        }
    }

    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error { kind, offset: self.at }
    }
}

/// The length of the number that the text begins with, by JSON's grammar; or where the grammar breaks.
fn number_length(text: &[u8]) -> Result<usize, usize> {
    let digits_from = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let some_digits_from = |at: usize| match digits_from(at) {
        end if end == at => Err(at),
        end => Ok(end),
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    at = if text.get(at) == Some(&b'0') { at + 1 } else { some_digits_from(at)? };
    if text.get(at) == Some(&b'.') {
        at = some_digits_from(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = some_digits_from(at + 1 + sign)?;
    }
    Ok(at)
}

/// Whether the whole text is one number by JSON's grammar.
pub(crate) fn is_number(text: &str) -> bool {
    number_length(text.as_bytes()) == Ok(text.len())
}
