//! Words of others in a message of ours: what services answer must not mention anybody, link anywhere, or break a line.

/// The longest piece of somebody else's text in a message.
const LONGEST: usize = 300;

/// The text on one line, without what chat programs act on.
pub(crate) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(LONGEST));
    for letter in text.chars() {
        if clean.len() >= LONGEST {
            clean.push('…');
            break;
        }
        match letter {
            // Feishu reads tags in plain text, and `<at user_id="all">` calls everybody.
            '<' => clean.push('‹'),
            '>' => clean.push('›'),
            '@' => clean.push('＠'),
            letter if letter.is_control() || turns(letter) => clean.push(' '),
            letter => clean.push(letter),
        }
    }
    clean.replace("://", "[:]//")
}

/// Whether it turns the direction of writing.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a text, at most that many bytes, cut between two letters.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_and_nothing_links() {
        let check = |text: &str, expect: &str| assert_eq!(harmless(text), expect);
        check("cannot connect: no route", "cannot connect: no route");
        check("<at user_id=\"all\">x</at> @all", "‹at user_id=\"all\"›x‹/at› ＠all");
        check("see http://evil.example/\r\n[x](https://a)", "see http[:]//evil.example/  [x](https[:]//a)");
        check("a\u{202e}b\u{1b}[7m", "a b [7m");
        assert!(harmless(&"图".repeat(1_000)).len() <= LONGEST + 6);
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        assert_eq!(beginning("a图b", 3), "a");
        assert_eq!(beginning("a图b", 4), "a图");
        assert_eq!(beginning("a图b", 99), "a图b");
    }
}
