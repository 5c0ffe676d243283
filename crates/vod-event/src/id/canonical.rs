//! The canonical form of an event's content, as `id.rs` lays it down. Frozen: what this writes must never change.

use crate::json::{Member, Object, OddityKind, Value};
use crate::read::Embedded;

/// The canonical form while it is written.
pub(crate) struct Canonical {
    text: String,
    /// Whether something could not be written as what it meant.
    is_lossy: bool,
}

impl Canonical {
    /// The canonical form of a content, with the body around it where it is wrapped; nothing where it is lossy.
    pub(crate) fn of(content: &Object<'_>, envelope: Option<&Object<'_>>, capacity: usize) -> Option<String> {
        let mut canonical = Self { text: String::with_capacity(capacity), is_lossy: false };
        let from_outside = |name| envelope.and_then(|envelope| envelope.member(name)).filter(|it| says(it));
        let added: Vec<_> = ["EventType", "EventTime"]
            .into_iter()
            .filter(|name| !content.member(name).is_some_and(says))
            .filter_map(from_outside)
            .collect();
        let is_replaced = |member: &&Member<'_>| added.iter().any(|other| other.name == member.name);
        let own = content.members().iter().filter(|member| !is_replaced(member));
        canonical.members(own.chain(added.iter().copied()), Self::content_value);
        (!canonical.is_lossy).then_some(canonical.text)
    }

    fn content_value(&mut self, member: &Member<'_>) {
        match &member.value {
            Value::String(text) if member.name == "DynamicImageJobInfo" => self.decoded(text),
            value => self.value(value),
        }
    }

    fn decoded(&mut self, text: &str) {
        let embedded = Embedded::in_text(text);
        match embedded.parse() {
            Ok(document) if matches!(document.value, Value::Object(_) | Value::Array(_)) => {
                self.is_lossy |=
                    document.oddities.iter().any(|oddity| oddity.kind == OddityKind::LoneSurrogate);
                self.value(&document.value);
            }
            _ => self.string(text),
        }
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(true) => self.text.push_str("true"),
            Value::Bool(false) => self.text.push_str("false"),
            Value::Number(token) => self.text.push_str(token),
            Value::String(text) => self.string(text),
            Value::Array(elements) => {
                self.text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    self.comma(index);
                    self.value(element);
                }
                self.text.push(']');
            }
            Value::Object(object) => {
                self.members(object.members().iter(), |canonical, member| canonical.value(&member.value));
            }
        }
    }

    fn members<'m, 'a: 'm>(
        &mut self,
        members: impl Iterator<Item = &'m Member<'a>>,
        write_value: impl Fn(&mut Self, &Member<'a>),
    ) {
        let mut sorted: Vec<_> = members.collect();
        sorted.sort_unstable_by(|left, right| left.name.as_bytes().cmp(right.name.as_bytes()));
        self.text.push('{');
        for (index, member) in sorted.into_iter().enumerate() {
            self.comma(index);
            self.string(&member.name);
            self.text.push(':');
            write_value(self, member);
        }
        self.text.push('}');
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.text.push(',');
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        let mut plain_from = 0;
        for special in memchr::memchr2_iter(b'"', b'\\', text.as_bytes()) {
            self.text.push_str(text.get(plain_from..special).unwrap_or_default());
            self.text.push('\\');
            plain_from = special;
        }
        self.text.push_str(text.get(plain_from..).unwrap_or_default());
        self.text.push('"');
    }
}

/// Whether the member has something to say.
fn says(member: &Member<'_>) -> bool {
    !matches!(member.value, Value::Null)
}
