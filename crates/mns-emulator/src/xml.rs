//! The little XML that the protocol needs: a tree of elements, read strictly and written in the layout of either
//! generation.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// No request nests deeper than a property of a message of a batch.
const DEPTH_LIMIT: usize = 16;

/// An element: its local name, its text, its children. Attributes say nothing that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: Cow<'static, str>,
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

/// The XML is not well-formed, or not of a kind that the service reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Element {
    pub(crate) fn new(name: &'static str, children: Vec<Self>) -> Self {
        Self { name: name.into(), text: String::new(), children }
    }

    pub(crate) fn text(name: &'static str, text: &(impl ToString + ?Sized)) -> Self {
        Self { name: name.into(), text: text.to_string(), children: Vec::new() }
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn children_named<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Reads a document.
pub(crate) fn read(document: &[u8]) -> Result<Element, Malformed> {
    let mut reader = Reader::from_reader(document);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|_| Malformed)? {
            Event::Start(tag) if root.is_none() && open.len() < DEPTH_LIMIT => open.push(element(&tag)?),
            Event::Empty(tag) if root.is_none() => close(element(&tag)?, &mut open, &mut root),
            Event::End(_) => {
                let element = open.pop().ok_or(Malformed)?;
                close(element, &mut open, &mut root);
            }
            Event::Text(text) => append(&text.xml10_content().map_err(|_| Malformed)?, &mut open)?,
            Event::CData(text) => append(&text.xml10_content().map_err(|_| Malformed)?, &mut open)?,
            Event::GeneralRef(reference) => append(resolve(&reference)?.encode_utf8(&mut [0; 4]), &mut open)?,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return if open.is_empty() { root.ok_or(Malformed) } else { Err(Malformed) },
            Event::Start(_) | Event::Empty(_) | Event::DocType(_) => return Err(Malformed),
        }
    }
}

fn element(tag: &BytesStart<'_>) -> Result<Element, Malformed> {
    let name = str::from_utf8(tag.local_name().into_inner()).map_err(|_| Malformed)?;
    Ok(Element { name: Cow::Owned(name.to_owned()), ..Element::default() })
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

/// Outside of the root there may be blanks, and nothing else; nowhere a character that XML does not have, written as
/// it is or as a reference.
fn append(text: &str, open: &mut [Element]) -> Result<(), Malformed> {
    let is_carried = |character| match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    };
    if !text.chars().all(is_carried) {
        return Err(Malformed);
    }
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(Malformed),
    }
    Ok(())
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, Malformed> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| Malformed)? {
        return Ok(character);
    }
    let name = reference.decode().map_err(|_| Malformed)?;
    resolve_predefined_entity(&name).and_then(|text| text.chars().next()).ok_or(Malformed)
}

/// How a document is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) prolog: &'static str,
    pub(crate) namespace: &'static str,
    /// Everything on one line, without indentation.
    pub(crate) compact: bool,
}

/// Writes a document.
pub(crate) fn write(root: &Element, layout: Layout) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(layout.prolog);
    write_element(root, Some(layout.namespace), layout.compact, 0, &mut out);
    out
}

fn write_element(element: &Element, namespace: Option<&str>, compact: bool, depth: usize, out: &mut String) {
    // The prolog ends without a line feed, and so does the document.
    if !compact {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    }
    out.push('<');
    out.push_str(&element.name);
    if let Some(namespace) = namespace {
        out.push_str(" xmlns=\"");
        out.push_str(namespace);
        out.push('"');
    }
    out.push('>');
    escape(&element.text, out);
    for child in &element.children {
        write_element(child, None, compact, depth + 1, out);
    }
    if !compact && !element.children.is_empty() {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    }
    out.push_str("</");
    out.push_str(&element.name);
    out.push('>');
}

/// A carriage return is written as a reference, since a reader turns a bare one into a line feed.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(document: &str) -> Option<String> {
        read(document.as_bytes()).ok()?.child("MessageBody").map(|body| body.text.clone())
    }

    #[test]
    fn a_body_is_read_as_it_was_meant() {
        let check = |inner: &str, expected: Option<&str>| {
            let document = format!("<Message xmlns=\"x\"><MessageBody>{inner}</MessageBody></Message>");
            assert_eq!(body_of(&document).as_deref(), expected, "{inner}");
        };
        check("aGVsbG8=", Some("aGVsbG8="));
        check("raw &amp; &lt;xml&gt; &quot;&apos;", Some("raw & <xml> \"'"));
        check("  kept  \n", Some("  kept  \n"));
        check("a&#13;\nb\r\nc", Some("a\r\nb\nc"));
        check("<![CDATA[a < b]]>", Some("a < b"));
        check("", Some(""));
        check("\u{4e16}&#x4e16;", Some("\u{4e16}\u{4e16}"));
        check("a & b", None);
        check("&unknown;", None);
        check("<b>", None);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for document in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "<!DOCTYPE a><a/>",
            "</a>",
            "<a>&#0;</a>",
            "\u{1}",
        ] {
            assert_eq!(read(document.as_bytes()), Err(Malformed), "{document}");
        }
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        assert_eq!(read(deep.as_bytes()), Err(Malformed));
    }

    #[test]
    fn both_layouts_are_written_to_the_byte() {
        let root =
            Element::new("Messages", vec![Element::new("Message", vec![Element::text("Body", "a&b\r")])]);
        let check = |compact, expected: &str| {
            assert_eq!(
                write(&root, Layout { prolog: "<?xml version=\"1.0\" ?>", namespace: "ns", compact }),
                expected
            );
        };
        check(
            false,
            "<?xml version=\"1.0\" ?>\n<Messages xmlns=\"ns\">\n  <Message>\n    <Body>a&amp;b&#13;</Body>\n  </Message>\n</Messages>",
        );
        check(
            true,
            "<?xml version=\"1.0\" ?><Messages xmlns=\"ns\"><Message><Body>a&amp;b&#13;</Body></Message></Messages>",
        );
    }
}
