//! Bodies of queue messages: JSON, or JSON in Base64, depending on who put them there.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The body of an event inside a message: the bytes as they came where they begin with `{`, else what they are the
/// Base64 of. Where they are neither, they are returned as they came, for nobody to be able to read them.
#[must_use]
pub fn decode_body(message: &[u8]) -> Cow<'_, [u8]> {
    if begins_an_object(message) {
        return Cow::Borrowed(message);
    }
    let letters: Vec<u8> = message.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match ENGINE.decode(letters) {
        Ok(body) if begins_an_object(&body) => Cow::Owned(body),
        _ => Cow::Borrowed(message),
    }
}

/// Padding or none, and whatever stands in the bits that the last letter has left over.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn begins_an_object(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expect: &str) {
        assert_eq!(String::from_utf8_lossy(&decode_body(message.as_bytes())), expect);
    }

    #[test]
    fn json_stays_as_it_came() {
        check("{}", "{}");
        check(" \r\n{\"a\": 1}\n", " \r\n{\"a\": 1}\n");
        check("\u{feff}{}", "\u{feff}{}");
    }

    #[test]
    fn base64_is_taken_off() {
        check("eyJhIjoxfQ==", "{\"a\":1}");
        check("eyJhIjoxfQ", "{\"a\":1}");
        check(" eyJh\r\nIjox\nfQ== \n", "{\"a\":1}");
        check("IHsiYSI6MX0=", " {\"a\":1}");
    }

    #[test]
    fn what_is_neither_stays_as_it_came() {
        check("", "");
        check("hello", "hello");
        check("aGVsbG8=", "aGVsbG8=");
        check("eyJhIjoxfQ==}", "eyJhIjoxfQ==}");
        // Base64 twice over is nobody's habit.
        check("ZXlKaElqb3hmUT09", "ZXlKaElqb3hmUT09");
    }
}
