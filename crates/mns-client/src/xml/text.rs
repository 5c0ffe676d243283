//! What stands between the tags of an element, byte for byte as it was meant, as far as that can be told.

use quick_xml::escape::resolve_predefined_entity;

/// The longest reference that names a character is shorter.
const LONGEST_REFERENCE: usize = 32;

/// Text that is put together.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// With line feeds where the document has other line ends, as XML has it.
    bytes: Vec<u8>,
    /// With the line ends of the document, where it has others.
    as_sent: Option<Vec<u8>>,
    odd: bool,
}

/// The bytes of a text that is more than a string with the line ends of XML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// With line feeds where the document has other line ends.
    pub(crate) bytes: Vec<u8>,
    /// With the line ends of the document, where it has others.
    pub(crate) as_sent: Option<Vec<u8>>,
    /// There is something in it that no text of XML has: bytes that are not UTF-8, references that name no character,
    /// elements.
    pub(crate) odd: bool,
}

impl Text {
    /// The text of an element whose source that is; where there are elements in it, the source itself.
    pub(crate) fn of_inner(source: &[u8]) -> Self {
        let mut text = Self::default();
        let mut rest = source;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'&' | b'<')) {
            let (before, special) = rest.split_at(at);
            text.push_source(before);
            let after = match special.strip_prefix(b"&") {
                Some(after) => Some(text.take_reference(after)),
                None => text.take_markup(special),
            };
            let Some(after) = after else { return Self::verbatim(source) };
            rest = after;
        }
        text.push_source(rest);
        text
    }

    /// What cannot be read as text, as it stands in the document.
    pub(crate) fn verbatim(source: &[u8]) -> Self {
        Self { bytes: source.to_vec(), as_sent: None, odd: true }
    }

    /// What the reader gives as text: an ampersand that stood alone comes with the characters that follow it.
    pub(crate) fn push_text(&mut self, source: &[u8]) {
        self.odd |= source.starts_with(b"&");
        self.push_source(source);
    }

    /// Characters of the document.
    pub(crate) fn push_source(&mut self, source: &[u8]) {
        if !source.contains(&b'\r') {
            return self.push(source);
        }
        self.as_sent.get_or_insert_with(|| self.bytes.clone()).extend_from_slice(source);
        let mut after_return = false;
        for byte in source {
            match byte {
                b'\r' => self.bytes.push(b'\n'),
                b'\n' if after_return => {}
                other => self.bytes.push(*other),
            }
            after_return = *byte == b'\r';
        }
    }

    /// What stands between `&` and `;`. What names no character stays as it is, for there are no entities but XML's.
    pub(crate) fn push_reference(&mut self, reference: &[u8]) {
        match str::from_utf8(reference).ok().and_then(character) {
            Some(character) => self.push(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                self.odd = true;
                self.push(b"&");
                self.push_source(reference);
                self.push(b";");
            }
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// The text, and its bytes where these say more.
    pub(crate) fn finish(self) -> (String, Option<Raw>) {
        let Self { bytes, as_sent, odd } = self;
        match String::from_utf8(bytes) {
            Ok(text) if as_sent.is_none() && !odd => (text, None),
            Ok(text) => {
                let raw = Raw { bytes: text.clone().into_bytes(), as_sent, odd };
                (text, Some(raw))
            }
            Err(error) => {
                let bytes = error.into_bytes();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                (text, Some(Raw { bytes, as_sent, odd: true }))
            }
        }
    }

    /// Takes a reference from behind its ampersand, which stays as it is where none follows.
    fn take_reference<'s>(&mut self, after: &'s [u8]) -> &'s [u8] {
        let end = after.iter().take(LONGEST_REFERENCE).position(|byte| matches!(byte, b';' | b'&' | b'<'));
        match end.and_then(|end| after.split_at_checked(end)) {
            Some((reference, rest)) if rest.starts_with(b";") => {
                self.push_reference(reference);
                rest.strip_prefix(b";").unwrap_or(rest)
            }
            _ => {
                self.odd = true;
                self.push(b"&");
                after
            }
        }
    }

    /// Takes a section that is text, or none at all; nothing if it is an element.
    fn take_markup<'s>(&mut self, markup: &'s [u8]) -> Option<&'s [u8]> {
        if let Some(section) = markup.strip_prefix(b"<![CDATA[") {
            let (inner, rest) = split_around(section, b"]]>")?;
            self.push_source(inner);
            return Some(rest);
        }
        let comment = markup.strip_prefix(b"<!--").map(|after| (after, &b"-->"[..]));
        let (after, end) = comment.or_else(|| Some((markup.strip_prefix(b"<?")?, &b"?>"[..])))?;
        split_around(after, end).map(|(_, rest)| rest)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(as_sent) = &mut self.as_sent {
            as_sent.extend_from_slice(bytes);
        }
    }
}

fn character(reference: &str) -> Option<char> {
    let Some(number) = reference.strip_prefix('#') else {
        return resolve_predefined_entity(reference)?.chars().next();
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    // Parsing alone would take a sign.
    let code = digits.chars().all(|digit| digit.is_digit(radix)).then(|| u32::from_str_radix(digits, radix));
    char::from_u32(code?.ok()?).filter(|character| *character != '\0')
}

/// What comes before the first of these, and what comes after it.
pub(crate) fn split_around<'s>(bytes: &'s [u8], mark: &[u8]) -> Option<(&'s [u8], &'s [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    let (before, from) = bytes.split_at_checked(at)?;
    Some((before, from.strip_prefix(mark)?))
}
