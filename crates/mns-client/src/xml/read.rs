//! Reads answers. Elements go by their local names; namespaces, order and what is unknown do not matter. What is meant
//! to harm a reader is refused: document types, entities of its own, bottomless nesting, floods of elements.

use std::str::FromStr;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

/// A property of a message of a batch is five levels down.
const DEPTH_LIMIT: usize = 16;
/// A page of a thousand queues with their attributes has 13,000.
const ELEMENT_LIMIT: usize = 65_536;

/// An element: its local name, its text, its children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

impl Element {
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
    #[error("its XML has a document type, an entity of its own, or too many elements")]
    Hostile,
}

/// Reads a document.
pub(crate) fn read(document: &[u8]) -> Result<Element, Refused> {
    let mut reader = Reader::from_reader(document);
    let mut tree = Tree::default();
    loop {
        match reader.read_event().map_err(|_| Refused::Malformed)? {
            Event::Start(tag) => tree.open(&tag)?,
            Event::Empty(tag) => {
                tree.open(&tag)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.append(&text.xml10_content().map_err(|_| Refused::Malformed)?)?,
            Event::CData(text) => tree.append(&text.xml10_content().map_err(|_| Refused::Malformed)?)?,
            Event::GeneralRef(reference) => tree.append(resolve(&reference)?.encode_utf8(&mut [0; 4]))?,
            Event::DocType(_) => return Err(Refused::Hostile),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return tree.finish(),
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
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
        self.open.push(Element { name: name.to_owned(), ..Element::default() });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        let element = self.open.pop().ok_or(Refused::Malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// Outside of the root there may be blanks, and nothing else.
    fn append(&mut self, text: &str) -> Result<(), Refused> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(Refused::Malformed),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, Refused> {
        if self.open.is_empty() { self.root.ok_or(Refused::Malformed) } else { Err(Refused::Malformed) }
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, Refused> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| Refused::Malformed)? {
        return Ok(character);
    }
    let name = reference.decode().map_err(|_| Refused::Malformed)?;
    resolve_predefined_entity(&name).and_then(|text| text.chars().next()).ok_or(Refused::Hostile)
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
        for document in
            ["", "text", "<a>", "<a></b>", "<a/><b/>", "<a/>text", "</a>", "<a>&#0;</a>", "<a>a & b</a>"]
        {
            check(document, Refused::Malformed);
        }
        check("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", Refused::Hostile);
        check("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", Refused::Hostile);
        check("<a>&x;</a>", Refused::Hostile);
        check(&"<a>".repeat(17), Refused::Hostile);
        check(&format!("<a>{}</a>", "<b/>".repeat(65_536)), Refused::Hostile);
        assert_eq!(read(b"<a>\xff</a>"), Err(Refused::Malformed));
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
