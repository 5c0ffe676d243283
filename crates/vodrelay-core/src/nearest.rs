//! What somebody meant who wrote a word that is not known.

/// How much of a word is looked at, in bytes.
const LONGEST: usize = 256;

/// The known word that is nearest to the one that was written, if one is near at all; case counts for nothing.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.get(..written.len().min(LONGEST)).unwrap_or("");
    let bound = (written.len() / 3).max(2);
    let ranked = known.into_iter().map(|word| (distance(written.as_bytes(), word.as_bytes()), word));
    ranked.min().filter(|(distance, _)| *distance <= bound).map(|(_, word)| word)
}

/// How many bytes to insert, drop or change, case aside.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, byte) in from.iter().enumerate() {
        let (mut left, mut corner) = (done + 1, done);
        for (cell, other) in row.iter_mut().skip(1).zip(to) {
            let change = corner + usize::from(!byte.eq_ignore_ascii_case(other));
            corner = *cell;
            left = change.min(corner + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = done + 1;
        }
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let check = |from: &str, to: &str, expect: usize| {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), expect, "{from} {to}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("kitten", "sitting", 3);
        check("/vod/callback/", "/vod/callback", 1);
        check("/VOD/callback", "/vod/callback", 0);
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let check = |written: &str, expect: Option<&str>| {
            assert_eq!(nearest(written, ["/vod/callback", "/other"]), expect, "{written}");
        };
        check("/vod/calback", Some("/vod/callback"));
        check("/vod/callback/", Some("/vod/callback"));
        check("/wp-login.php", None);
        check("/", None);
    }
}
