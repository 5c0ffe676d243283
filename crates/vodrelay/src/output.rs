//! The one way to standard output. A reader who has gone (`vodrelay … | head`) is no error.

pub(crate) mod progress;
pub(crate) mod table;

use std::borrow::Cow;
use std::io::Write;

use serde::Serialize;

/// Prints a line for people. What others have written into events and stores may stand in it, so nothing of it can move
/// the cursor, or pass for a line of ours.
pub(crate) fn line(text: impl AsRef<str>) {
    raw(harmless(text.as_ref()));
}

/// Prints a text as it is, and a line feed.
pub(crate) fn raw(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
}

/// The text with what a terminal obeys written out.
fn harmless(text: &str) -> Cow<'_, str> {
    written_out(text, |letter| letter.escape_unicode().to_string())
}

/// JSON with what a terminal obeys written out as JSON writes it, so that it says the same.
fn harmless_json(text: &str) -> Cow<'_, str> {
    written_out(text, |letter| format!("\\u{:04x}", u32::from(letter)))
}

/// A text that stays within its line, with line feeds and tabs written out too.
fn cell(text: &str) -> Cow<'_, str> {
    let escape = |letter: char| letter.escape_default().to_string();
    written_out_where(text, |letter| matches!(letter, '\n' | '\t') || is_obeyed(letter), escape)
}

fn written_out(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    written_out_where(text, is_obeyed, escape)
}

/// Controls, what turns the direction of writing, and what breaks lines elsewhere.
fn is_obeyed(letter: char) -> bool {
    (letter.is_control() && !matches!(letter, '\n' | '\t'))
        || matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn written_out_where(
    text: &str,
    obeys: impl Fn(char) -> bool + Copy,
    escape: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.contains(obeys) {
        return text.into();
    }
    let escaped = |letter: char| if obeys(letter) { escape(letter) } else { letter.to_string() };
    text.chars().map(escaped).collect::<String>().into()
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
    as_json(serde_json::to_string_pretty(value));
}

/// Prints a value as one line of JSON.
pub(crate) fn json_line(value: &(impl Serialize + ?Sized)) {
    as_json(serde_json::to_string(value));
}

/// A value as one line of JSON, to be written elsewhere.
pub(crate) fn json_text(value: &(impl Serialize + ?Sized)) -> String {
    as_text(serde_json::to_string(value))
}

fn as_json(written: serde_json::Result<String>) {
    raw(as_text(written));
}

fn as_text(written: serde_json::Result<String>) -> String {
    harmless_json(&written.unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))).into_owned()
}

/// Prints a message for people to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(text.as_ref()));
}

/// An age as people say it, coarser the longer it is.
pub(crate) fn age(seconds: i64) -> String {
    match seconds {
        ..0 => format!("{} s in the future, so not", -seconds),
        0..600 => format!("{seconds} s"),
        600..172_800 => format!("{} min", seconds / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        let check = |text: &str, expect: &str| assert_eq!(harmless(text), expect);
        check("a\tb\nc ä 图", "a\tb\nc ä 图");
        check("\u{1b}]0;owned\u{7}\r", r"\u{1b}]0;owned\u{7}\u{d}");
        check("a\u{9b}b\u{202e}c", r"a\u{9b}b\u{202e}c");
    }

    #[test]
    fn json_stays_json_and_says_the_same() {
        let check = |text: &str, expect: &str| {
            let json = serde_json::to_string(text).unwrap();
            let printed = harmless_json(&json);
            assert_eq!(printed, expect);
            assert_eq!(serde_json::from_str::<String>(&printed).unwrap(), text);
        };
        check("a\tb\nc ä 图", r#""a\tb\nc ä 图""#);
        check("\u{1b}[7m\u{7f}", r#""\u001b[7m\u007f""#);
        check("a\u{9b}b\u{202e}c", r#""a\u009bb\u202ec""#);
    }
}
