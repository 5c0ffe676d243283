//! Strings: borrowed where nothing is escaped, else unescaped into the parser's scratch buffer.

use std::borrow::Cow;

use super::parser::Parser;
use super::{Error, OddityKind};

impl<'a> Parser<'a> {
    /// The string that begins at the current offset, which stands on its quote. Inlined, so that a plain one is made
    /// where it is wanted and not moved there.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        let start = self.at + 1;
        self.at = next_special(self.text.as_bytes(), start);
        if self.byte() != Some(b'"') {
            return self.special_string(start);
        }
        self.at += 1;
        Ok(Cow::Borrowed(self.slice(start, self.at - 1)))
    }

    /// The same from the first character on that is not plain, or is missing.
    fn special_string(&mut self, start: usize) -> Result<Cow<'a, str>, Error> {
        let mut run = start;
        let mut is_escaped = false;
        loop {
            match self.byte() {
                None => return Err(self.unexpected("'\"'", "a string")),
                Some(b'"') => break,
                Some(b'\\') => {
                    if !is_escaped {
                        is_escaped = true;
                        self.scratch.clear();
                        self.scratch.reserve(512);
                    }
                    let plain = self.slice(run, self.at);
                    self.scratch.push_str(plain);
                    run = self.escape()?;
                }
                Some(control) => {
                    let is_line_feed = matches!(control, b'\n' | b'\r');
                    self.note(
                        if is_line_feed { OddityKind::RawLineFeed } else { OddityKind::RawControl },
                        "",
                    );
                    self.at += 1;
                }
            }
            self.at = next_special(self.text.as_bytes(), self.at);
        }
        let plain = self.slice(run, self.at);
        self.at += 1;
        if !is_escaped {
            return Ok(Cow::Borrowed(plain));
        }
        self.scratch.push_str(plain);
        Ok(Cow::Owned(self.scratch.as_str().to_owned()))
    }

    /// The escape at the current offset, which stands on its backslash. Returns from where the text is plain again.
    fn escape(&mut self) -> Result<usize, Error> {
        self.at += 1;
        let plain = match self.byte() {
            // It means itself, so the plain text begins with it; JSON in a string is full of these.
            Some(b'"' | b'\\' | b'/') => {
                self.at += 1;
                return Ok(self.at - 1);
            }
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4()?;
                let character = self.character(unit);
                self.scratch.push(character);
                return Ok(self.at);
            }
            _ => return Err(self.unexpected("one of \" \\ / b f n r t u", "an escape")),
        };
        self.scratch.push(plain);
        self.at += 1;
        Ok(self.at)
    }

    /// The character of a UTF-16 unit, together with the unit after it where they are a pair.
    fn character(&mut self, unit: u32) -> char {
        if let Some(character) = char::from_u32(unit) {
            return character;
        }
        let after = self.at;
        if unit < 0xDC00
            && self.slice(after, after + 2) == "\\u"
            && let Some(low @ 0xDC00..=0xDFFF) = self.text.get(after + 2..after + 6).and_then(hex)
        {
            self.at = after + 6;
            let pair = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        self.note(OddityKind::LoneSurrogate, "");
        char::REPLACEMENT_CHARACTER
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        if let Some(unit) = self.text.get(self.at..self.at + 4).and_then(hex) {
            self.at += 4;
            return Ok(unit);
        }
        while self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
            self.at += 1;
        }
        Err(self.unexpected("four hex digits", "an escape"))
    }
}

fn hex(digits: &str) -> Option<u32> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if are_digits { u32::from_str_radix(digits, 16).ok() } else { None }
}

/// The offset of the next quote, backslash or control character; the end where there is none. Eight bytes at a
/// time: for each of the three, a subtraction leaves the top bit of the first byte that is one.
fn next_special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & TOPS;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*chunk);
        let hits = below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return at;
        }
        at += 1;
    }
    at
}
