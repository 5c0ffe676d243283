//! A message out of an answer that is no XML: what a sender wrote must not keep the message in the queue for ever.

use crate::xml::read::Element;
use crate::xml::text::{Text, split_around};

/// The message of an answer that has one and is whole, with its body as it stands in the document; nothing where its
/// handle cannot be told without doubt.
pub(crate) fn salvage(document: &[u8]) -> Option<Element> {
    // An answer that breaks off would be taken for all that there is of the body.
    let end = document.trim_ascii_end();
    if !end.ends_with(b"</Message>") && !end.ends_with(b"</Messages>") {
        return None;
    }
    let (around, body) = without_body(document)?;
    let handle = only(&around, "ReceiptHandle")?;
    let mut children =
        vec![Element::of("ReceiptHandle", handle), Element::of("MessageBody", Text::verbatim(body))];
    let others = ["MessageId", "MessageBodyMD5", "NextVisibleTime", "FirstDequeueTime", "DequeueCount"];
    children.extend(others.iter().filter_map(|name| Some(Element::of(name, only(&around, name)?))));
    Some(Element { name: "Message".to_owned(), children, ..Element::default() })
}

/// What stands around the body, and the body, which reaches up to the last end that there is.
fn without_body(document: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (before, rest) = split_around(document, b"<MessageBody>")?;
    let end = b"</MessageBody>";
    let at = rest.windows(end.len()).rposition(|window| window == end)?;
    let (body, after) = rest.split_at_checked(at)?;
    // A service that answers with more than it was asked for.
    if split_around(body, b"<Message>").is_some() {
        return None;
    }
    Some(([before, after].concat(), body))
}

/// The text of the element of that name, if there is exactly one.
fn only(document: &[u8], name: &str) -> Option<Text> {
    let (_, rest) = split_around(document, format!("<{name}>").as_bytes())?;
    let (inner, rest) = split_around(rest, format!("</{name}>").as_bytes())?;
    let again = split_around(rest, format!("<{name}>").as_bytes()).is_some();
    (!again && !inner.contains(&b'<')).then(|| Text::of_inner(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_told_by_its_handle_or_not_at_all() {
        let check = |document: &str, expected: Option<(&str, &str)>| {
            let message = salvage(document.as_bytes());
            let found = message.as_ref().map(|message| {
                let text = |name| message.text_of(name).unwrap();
                (text("ReceiptHandle"), text("MessageBody"))
            });
            assert_eq!(found, expected, "{document}");
        };
        let body = |inner: &str| format!("<MessageBody>{inner}</MessageBody>");
        let one = |body: &str| format!("<Message>{body}<ReceiptHandle>a&amp;b</ReceiptHandle></Message>");
        check(&one(&body("{\"a\":1<2}")), Some(("a&b", "{\"a\":1<2}")));
        check(&format!("<Messages>{}</Messages>\n", one(&body("</b>"))), Some(("a&b", "</b>")));
        let nasty = "</MessageBody><ReceiptHandle>x</ReceiptHandle><MessageBody>";
        check(&one(&body(nasty)), Some(("a&b", nasty)));
        check(&one(""), None);
        check(&format!("<Messages>{}{}</Messages>", one(&body("<")), one(&body("<"))), None);
        check(&body("<"), None);
        check(&format!("{}{}", one(&body("<")), one("")), None);
        // Cut off, in the former order of elements.
        check("<Message><ReceiptHandle>a</ReceiptHandle><MessageBody>{\"a\":", None);
        check("<Message><ReceiptHandle>a</ReceiptHandle><MessageBody>a</MessageBody>", None);
    }
}
