//! The one way to standard output. A reader who has gone (`vodrelay … | head`) is no error.

use std::borrow::Cow;
use std::io::Write;

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

/// The text with what a terminal obeys written out: controls, and what turns the direction of writing.
fn harmless(text: &str) -> Cow<'_, str> {
    let obeys = |letter: char| {
        (letter.is_control() && !matches!(letter, '\n' | '\t'))
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(obeys) {
        return text.into();
    }
    let escaped =
        |letter: char| if obeys(letter) { letter.escape_unicode().to_string() } else { letter.to_string() };
    text.chars().map(escaped).collect::<String>().into()
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) {
    line(serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}")));
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
}
