//! The service's words, as they may stand in errors and logs: whoever answers in its place writes what he likes.

/// No code, message or id that the service was seen to write comes near.
const MOST: usize = 300;

/// At most 300 characters, with those escaped that move a cursor or turn the direction of writing.
pub(crate) fn cut(words: &str) -> String {
    let mut kept = String::new();
    for (place, character) in words.chars().enumerate() {
        if place == MOST {
            kept.push('\u{2026}');
            break;
        }
        if is_harmless(character) { kept.push(character) } else { kept.extend(character.escape_default()) }
    }
    kept
}

fn is_harmless(character: char) -> bool {
    let turns = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_and_what_moves_the_cursor_is_escaped() {
        assert_eq!(cut("The queue is \u{4e0d}\u{5b58}\u{5728}."), "The queue is \u{4e0d}\u{5b58}\u{5728}.");
        assert_eq!(cut("a\n\u{1b}[2Jb\u{202e}c"), "a\\n\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(cut(&"m".repeat(300)), "m".repeat(300));
        assert_eq!(cut(&"m".repeat(1_000_000)), "m".repeat(300) + "\u{2026}");
    }
}
