//! Bodies on the wire: the service keeps text and knows nothing of Base64, so clients must agree; they often do not.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// How a payload stands in the text of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As it is: what Go, `@alicloud/mns` and deliveries of topics do. Only text that XML can carry.
    Raw,
    /// In Base64: what the Java, Python and PHP clients do by default. Takes any bytes.
    Base64,
    /// Reads both; writes text raw where that is read back the same, and else in Base64.
    ///
    /// A text that begins with `{`, `[` or `<` is raw. Any other that is strict Base64 of UTF-8 text is decoded. What
    /// remains is raw. A plain word that happens to be Base64 of text is misread, so two sides that can agree on
    /// `Raw` or `Base64` had better do so.
    #[default]
    Auto,
}

/// A payload or text that the encoding has no form for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The payload is not UTF-8.
    #[error("the payload is not UTF-8 text; send it as Encoding::Base64")]
    NotText,
    /// XML cannot carry the payload.
    #[error("the payload has the character {0:?}, which XML cannot carry; send it as Encoding::Base64")]
    NotXml(char),
    /// The text was expected to be Base64.
    #[error("the text is not Base64; read it as Encoding::Auto, or see what its sender does")]
    NotBase64,
}

impl Encoding {
    /// The text that a message with that payload has.
    ///
    /// # Errors
    /// If the encoding has none; `Base64` always has.
    pub fn encode(self, payload: &[u8]) -> Result<String, EncodingError> {
        match self {
            Self::Raw => raw(payload).map(str::to_owned),
            Self::Base64 => Ok(STANDARD.encode(payload)),
            Self::Auto => match raw(payload) {
                Err(EncodingError::NotText) => Err(EncodingError::NotText),
                Ok(text) if base64_of_text(text).is_none() => Ok(text.to_owned()),
                _ => Ok(STANDARD.encode(payload)),
            },
        }
    }

    /// The payload of a message with that text.
    ///
    /// # Errors
    /// If it was expected to be Base64 and is not; `Raw` and `Auto` always read something.
    pub fn decode(self, text: &str) -> Result<Cow<'_, [u8]>, EncodingError> {
        match self {
            Self::Raw => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Base64 => base64(text).map(Cow::Owned).ok_or(EncodingError::NotBase64),
            Self::Auto => Ok(base64_of_text(text).map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned)),
        }
    }
}

fn raw(payload: &[u8]) -> Result<&str, EncodingError> {
    let text = str::from_utf8(payload).map_err(|_| EncodingError::NotText)?;
    check_characters(text)?;
    Ok(text)
}

/// Whether XML 1.0 can carry each character.
pub(crate) fn check_characters(text: &str) -> Result<(), EncodingError> {
    let carried = |character: char| match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    };
    text.chars()
        .find(|character| !carried(*character))
        .map_or(Ok(()), |found| Err(EncodingError::NotXml(found)))
}

/// What `Auto` decodes: Base64 of text. What begins like JSON or XML is none, since no such character is in its
/// alphabet.
fn base64_of_text(text: &str) -> Option<Vec<u8>> {
    base64(text).filter(|decoded| !decoded.is_empty() && str::from_utf8(decoded).is_ok())
}

/// Strict Base64 with its padding. Some senders break lines, as the encoding for mails does.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if text.contains(['\r', '\n']) {
        return STANDARD.decode(text.replace(['\r', '\n'], "")).ok();
    }
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_reads_what_senders_write() {
        let check = |text: &str, expected: &str| {
            assert_eq!(&*Encoding::Auto.decode(text).unwrap(), expected.as_bytes(), "{text}");
        };
        check(r#"{"EventType":"FileUploadComplete"}"#, r#"{"EventType":"FileUploadComplete"}"#);
        check("eyJFdmVudFR5cGUiOiJhIn0=", r#"{"EventType":"a"}"#);
        check("eyJFdmVudFR5\r\ncGUiOiJhIn0=\n", r#"{"EventType":"a"}"#);
        check("  {\"a\":1}\n", "  {\"a\":1}\n");
        check("<a>AAAA</a>", "<a>AAAA</a>");
        check("hello world", "hello world");
        check("aGVsbG8", "aGVsbG8"); // without its padding
        check("/w==", "/w=="); // not of text
        check("", "");
    }

    #[test]
    fn base64_is_decoded_or_said_not_to_be() {
        assert_eq!(&*Encoding::Base64.decode("/w==").unwrap(), [0xff]);
        assert_eq!(Encoding::Base64.decode("{}"), Err(EncodingError::NotBase64));
        assert_eq!(&*Encoding::Raw.decode("/w==").unwrap(), b"/w==");
    }

    #[test]
    fn what_xml_cannot_carry_goes_in_base64_or_not_at_all() {
        let check = |encoding: Encoding, payload: &[u8], expected: Result<&str, EncodingError>| {
            assert_eq!(encoding.encode(payload), expected.map(str::to_owned), "{encoding:?} {payload:?}");
        };
        check(Encoding::Raw, b"a\tb\r\n", Ok("a\tb\r\n"));
        check(Encoding::Raw, b"a\x01", Err(EncodingError::NotXml('\u{1}')));
        check(Encoding::Raw, b"\xff", Err(EncodingError::NotText));
        check(Encoding::Base64, b"\xff", Ok("/w=="));
        check(Encoding::Auto, b"a\x01", Ok("YQE="));
        check(Encoding::Auto, b"\xff", Err(EncodingError::NotText));
        check(Encoding::Auto, b"aGVsbG8=", Ok("YUdWc2JHOD0=")); // else it would be decoded
    }
}
