//! Reads answers. Elements go by their local names; namespaces, order and what is unknown do not matter. What is meant
//! to harm a reader is refused: document types, bottomless nesting, floods of elements. What stands between the tags is
//! taken as it is, so that one message costs no other of its batch.

use std::str::FromStr;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use thiserror::Error;

use crate::xml::text::{Raw, Text};

/// A property of a message of a batch is five levels down.
const DEPTH_LIMIT: usize = 16;
/// A page of a thousand queues with their attributes has 13,000.
const ELEMENT_LIMIT: usize = 65_536;

/// The element whose content is a sender's, so that nothing in it is structure.
const OPAQUE: &str = "MessageBody";

/// An element: its local name, its text, its children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    /// The bytes of the text, where the text is not all that can be said of it.
    pub(crate) raw: Option<Box<Raw>>,
    pub(crate) children: Vec<Self>,
}

impl Element {
    /// An element with that text.
    pub(crate) fn of(name: &str, text: Text) -> Self {
        let (text, raw) = text.finish();
        Self { name: name.to_owned(), text, raw: raw.map(Box::new), children: Vec::new() }
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn children_named<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the child of that name.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The text of the child of that name, as a value; nothing if it is none.
    pub(crate) fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text_of(name)?.trim().parse().ok()
    }
}

/// Why a document was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("it is not well-formed XML")]
    Malformed,
    #[error("its XML has a document type, or too many elements")]
    Hostile,
}

/// Reads a document.
pub(crate) fn read(document: &[u8]) -> Result<Element, Refused> {
    let mut reader = Reader::from_reader(document);
    reader.config_mut().allow_dangling_amp = true;
    let mut tree = Tree::default();
    loop {
        match reader.read_event().map_err(|_| Refused::Malformed)? {
            Event::Start(tag) => {
                tree.open(&tag)?;
                if tag.local_name().into_inner() == OPAQUE.as_bytes() {
                    let inner = reader.read_text(tag.name()).map_err(|_| Refused::Malformed)?;
                    tree.append(Text::of_inner(&inner.into_inner()))?;
                    tree.close()?;
                }
            }
            Event::Empty(tag) => {
                tree.open(&tag)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.with_text(|to| to.push_text(&text))?,
            Event::CData(text) => tree.with_text(|to| to.push_source(&text))?,
            Event::GeneralRef(reference) => tree.with_text(|to| to.push_reference(&reference))?,
            Event::DocType(_) => return Err(Refused::Hostile),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return tree.finish(),
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Tree {
    open: Vec<(Element, Text)>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), Refused> {
        self.elements += 1;
        if self.elements > ELEMENT_LIMIT || self.open.len() == DEPTH_LIMIT {
            return Err(Refused::Hostile);
        }
        if self.root.is_some() {
            return Err(Refused::Malformed);
        }
        let name = str::from_utf8(tag.local_name().into_inner()).map_err(|_| Refused::Malformed)?;
        self.open.push((Element { name: name.to_owned(), ..Element::default() }, Text::default()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        let (Element { name, children, .. }, text) = self.open.pop().ok_or(Refused::Malformed)?;
        let element = Element { children, ..Element::of(&name, text) };
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// The whole text of the element that is open.
    fn append(&mut self, text: Text) -> Result<(), Refused> {
        let (_, place) = self.open.last_mut().ok_or(Refused::Malformed)?;
        *place = text;
        Ok(())
    }

    /// Outside of the root there may be blanks, and nothing else.
    fn with_text(&mut self, push: impl FnOnce(&mut Text)) -> Result<(), Refused> {
        if let Some((_, text)) = self.open.last_mut() {
            push(text);
            return Ok(());
        }
        let mut outside = Text::default();
        push(&mut outside);
        if outside.is_blank() { Ok(()) } else { Err(Refused::Malformed) }
    }

    fn finish(self) -> Result<Element, Refused> {
        if self.open.is_empty() { self.root.ok_or(Refused::Malformed) } else { Err(Refused::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml::Writer;

    #[test]
    fn both_generations_of_answers_read_the_same() {
        let old = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Message xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\
                   <MessageBody>a</MessageBody><MessageId>1</MessageId></Message>\n";
        let new = "<?xml version=\"1.0\" ?>\n<m:Message xmlns:m=\"http://mns.aliyuncs.com/doc/v1\">\n  \
                   <m:MessageId>1</m:MessageId>\n  <Unknown><a/></Unknown>\n  <MessageBody>a</MessageBody>\n</m:Message>";
        for document in [old, new] {
            let root = read(document.as_bytes()).unwrap();
            assert_eq!((root.name.as_str(), root.text_of("MessageBody")), ("Message", Some("a")));
            assert_eq!(root.parse::<u8>("MessageId"), Some(1));
        }
    }

    #[test]
    fn what_is_no_document_or_means_harm_is_refused() {
        let check =
            |document: &str, expected| assert_eq!(read(document.as_bytes()), Err(expected), "{document:.60}");
        for document in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "</a>",
            "<a/>&amp;",
            "<a><MessageBody></a>",
        ] {
            check(document, Refused::Malformed);
        }
        check("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", Refused::Hostile);
        check("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", Refused::Hostile);
        check(&"<a>".repeat(17), Refused::Hostile);
        check(&format!("<a>{}</a>", "<b/>".repeat(65_536)), Refused::Hostile);
    }

    #[test]
    fn nothing_between_the_tags_costs_the_rest() {
        let check = |inner: &[u8], text: &str, bytes: Option<&[u8]>| {
            for name in ["MessageBody", "Other"] {
                let document = [
                    format!("<Messages><{name}>").as_bytes(),
                    inner,
                    format!("</{name}><MessageId>1</MessageId></Messages>").as_bytes(),
                ]
                .concat();
                let root = read(&document).unwrap();
                let element = root.child(name).unwrap();
                let odd = element.raw.as_ref().filter(|raw| raw.odd).map(|raw| raw.bytes.as_slice());
                assert_eq!((element.text.as_str(), odd), (text, bytes), "{name}: {text}");
                assert_eq!(root.text_of("MessageId"), Some("1"));
            }
        };
        check(b"{\"a\":\"\xff\xfe\"}", "{\"a\":\"\u{fffd}\u{fffd}\"}", Some(b"{\"a\":\"\xff\xfe\"}"));
        for literal in
            ["a&#0;", "&#xD800;", "a & b", "?a=1&b=2", "&", "a&x;b", "&;", "&#;", "&#x110000;", "&#+1;"]
        {
            check(literal.as_bytes(), literal, Some(literal.as_bytes()));
        }
        check(b"a&#1;\x01", "a\u{1}\u{1}", None);
        check(b"&amp;&lt;&#65;&#x4e16;<![CDATA[a < &amp;]]><!-- no --><?no?>", "&<A\u{4e16}a < &amp;", None);
        check("\u{feff}{}".as_bytes(), "\u{feff}{}", None);
    }

    #[test]
    fn a_body_with_elements_is_its_source() {
        let check = |inner: &str| {
            let document =
                format!("<m:Message xmlns:m='x'><m:MessageBody>{inner}</m:MessageBody></m:Message>");
            let root = read(document.as_bytes()).unwrap();
            let body = root.child("MessageBody").unwrap();
            assert_eq!((body.text.as_str(), body.children.len()), (inner, 0));
            assert!(body.raw.as_ref().is_some_and(|raw| raw.odd && raw.bytes == inner.as_bytes()));
        };
        check("<ev><a>secret &amp; all</a></ev>");
        check("{\"a\":<b/>}");
        check("<!DOCTYPE a><a/>");
        check(&format!("{}{}", "<a>".repeat(100), "</a>".repeat(100)));
    }

    #[test]
    fn line_ends_of_the_document_are_kept_beside_those_of_xml() {
        let root = read(b"<a>x\r\ny\rz&#13;\n<![CDATA[\r]]></a>").unwrap();
        assert_eq!(root.text, "x\ny\nz\r\n\n");
        let raw = root.raw.unwrap();
        assert_eq!((raw.as_sent.as_deref(), raw.odd), (Some(&b"x\r\ny\rz\r\n\r"[..]), false));
        assert_eq!(read(b"<a>x\ny&#13;</a>").unwrap().raw, None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&bytes);
        }

        #[test]
        fn nothing_that_looks_like_xml_makes_it_panic(
            pieces in proptest::collection::vec(
                prop::sample::select(vec![
                    "<a>", "</a>", "<b c='", "'/>", "&", "&amp;", "&#", "&#x41;", ";", "<![CDATA[", "]]>", "<!--", "-->",
                    "<?", "?>", "<!DOCTYPE", ">", "<", "\u{0}", "text", "\r\n", "\u{feff}",
                ]),
                0..40,
            )
        ) {
            let _ = read(pieces.concat().as_bytes());
        }

        #[test]
        fn any_text_that_xml_can_carry_is_read_as_it_was_written(text in "[\\t\\n\\r -\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]{0,64}") {
            let mut writer = Writer::open("Message");
            writer.text("MessageBody", &text);
            let root = read(writer.close("Message").as_bytes()).unwrap();
            prop_assert_eq!(root.text_of("MessageBody"), Some(text.as_str()));
        }
    }
}
