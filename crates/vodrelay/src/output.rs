//! The one way to standard output. A reader who has gone (`vodrelay … | head`) is no error.

use std::io::Write;

/// Prints a line.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) {
    line(serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}")));
}

/// Prints a message for people to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
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
