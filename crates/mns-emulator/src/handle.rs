//! Receipt handles: opaque to clients, but the service tells one that it never made from one that is no longer good.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Whether the text has the form of a handle of either generation. Only then is a handle that nothing answers to a
/// message that is gone; otherwise it is an error of the caller.
pub(crate) fn is_well_formed(handle: &str) -> bool {
    let Some((before, after)) = handle.split_once('-') else { return false };
    let Some(inner) = STANDARD.decode(after).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return false;
    };
    if before == "1" { is_old(&inner) } else { is_message_id(before) && is_current(&inner) }
}

/// Today's handles hold a receipt of the broker below: offset, time, span, counts, broker, and a tail.
fn is_current(inner: &str) -> bool {
    inner.split_once('|').is_some_and(|(receipt, tail)| receipt.split(' ').count() == 8 && !tail.is_empty())
}

/// The former ones hold four numbers.
fn is_old(inner: &str) -> bool {
    let mut parts = inner.split('-');
    inner.split('-').count() == 4 && parts.all(|part| part.parse::<u64>().is_ok())
}

fn is_message_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::is_well_formed;

    #[test]
    fn forms_of_both_generations_are_known() {
        let check = |handle: &str, expected| assert_eq!(is_well_formed(handle), expected, "{handle}");
        let id = "0A0B0C0D33FD7FCF7FB27DA1000000AA";
        check(
            &format!("{id}-MyAxNzA0MDY3MjAxMDAwIDMwMDAwIDIgMCBleGFtcGxlLWJyb2tlci0wOCAwIDN8YWJjZGU="),
            true,
        );
        check("1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==", true);
        check("1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg", false);
        check(&format!("{id}-MyAx"), false);
        check(id, false);
        check("bogus", false);
        check("", false);
    }
}
