//! Members of an object, each read as what it should be; what cannot be is kept and doubted.

use std::cmp::Ordering;

use crate::event::{Decimal, Doubt, EventTime, Status};
use crate::json::{Member, Oddity, Value};

/// The first doubts tell what kind of body it is; a million of them would tell no more.
const MOST_DOUBTS: usize = 64;

/// Adds a doubt; where there are too many, says once that there are more.
pub(super) fn tell(doubts: &mut Vec<Doubt>, doubt: impl FnOnce() -> Doubt) {
    match doubts.len().cmp(&MOST_DOUBTS) {
        Ordering::Less => doubts.push(doubt()),
        Ordering::Equal => {
            let what = format!("more was odd than the first {MOST_DOUBTS} doubts say");
            doubts.push(Doubt { field: String::new(), what });
        }
        Ordering::Greater => {}
    }
}

/// Reads members and gathers what was odd about them.
pub(super) struct Members<'v> {
    /// What was odd.
    pub(super) doubts: Vec<Doubt>,
    /// The members that the event has no place for, or that do not fit the place they have.
    pub(super) kept: Vec<&'v Member<'v>>,
    /// The member that the ones being read stand in, as a prefix of doubts.
    inside: &'static str,
}

impl<'v> Members<'v> {
    pub(super) fn new() -> Self {
        Self { doubts: Vec::new(), kept: Vec::new(), inside: "" }
    }

    /// For the members of an object that is the value of another member.
    pub(super) fn inside(name: &'static str) -> Self {
        Self { inside: name, ..Self::new() }
    }

    pub(super) fn doubt(&mut self, field: &str, what: impl Into<String>) {
        let inside = self.inside;
        tell(&mut self.doubts, || Doubt { field: joined(inside, field), what: what.into() });
    }

    /// What was odd in the text of this member; of the whole body where it is empty.
    pub(super) fn doubt_oddities(&mut self, member: &str, oddities: &[Oddity]) {
        for oddity in oddities {
            self.doubt(&joined(member, &oddity.path), oddity.kind.what());
        }
    }

    /// A text as it came. A number is its token, with a doubt.
    pub(super) fn text(&mut self, member: Option<&'v Member<'v>>) -> Option<String> {
        let member = member?;
        match &member.value {
            Value::Null => None,
            Value::String(text) => Some(text.clone().into_owned()),
            Value::Number(token) => {
                self.doubt(&member.name, "a number, not a string");
                Some((*token).to_owned())
            }
            _ => {
                self.keep(member, "not a string");
                None
            }
        }
    }

    /// An id as it came; a blank one is none.
    pub(super) fn id(&mut self, member: Option<&'v Member<'v>>) -> Option<String> {
        self.text(member).filter(|id| !id.trim_ascii().is_empty())
    }

    /// A text without blanks around it.
    pub(super) fn word(&mut self, member: Option<&'v Member<'v>>) -> Option<String> {
        let text = self.text(member)?;
        let word = text.trim_ascii();
        if word.len() == text.len() {
            return Some(text);
        }
        let word = word.to_owned();
        self.doubt(&member?.name, "blanks around the value");
        Some(word)
    }

    pub(super) fn status(&mut self, member: Option<&'v Member<'v>>) -> Option<Status> {
        let word = self.word(member)?;
        if word.is_empty() {
            self.doubt("Status", "empty");
            return None;
        }
        let status = Status::from_word(&word);
        if let Status::Other(_) = status {
            self.doubt("Status", format!("{} is neither success nor fail", shown(&word)));
        }
        Some(status)
    }

    pub(super) fn time(&mut self, member: Option<&'v Member<'v>>) -> Option<EventTime> {
        let member = member?;
        let time = match &member.value {
            Value::Null => return None,
            Value::String(text) => EventTime::parse(text),
            _ => None,
        };
        if time.is_none() {
            self.keep(member, "not a time in UTC");
        }
        time
    }

    /// A whole number, also as a string.
    pub(super) fn whole(&mut self, member: Option<&'v Member<'v>>) -> Option<u64> {
        self.number(member, "not a whole number", |text| {
            let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            if are_digits { text.parse().ok() } else { None }
        })
    }

    /// A number with or without a fraction, also as a string.
    pub(super) fn decimal(&mut self, member: Option<&'v Member<'v>>) -> Option<Decimal> {
        self.number(member, "not a number", Decimal::new)
    }

    fn number<N>(
        &mut self,
        member: Option<&'v Member<'v>>,
        otherwise: &str,
        read: impl FnOnce(&str) -> Option<N>,
    ) -> Option<N> {
        let member = member?;
        let number = match &member.value {
            Value::Null => return None,
            Value::Number(token) => read(token),
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => read(text.trim_ascii()),
            _ => None,
        };
        if number.is_none() {
            self.keep(member, otherwise);
        }
        number
    }

    pub(super) fn keep(&mut self, member: &'v Member<'v>, what: &str) {
        self.doubt(&member.name, what);
        self.kept.push(member);
    }
}

pub(super) fn joined(left: &str, right: &str) -> String {
    let dot = if left.is_empty() || right.is_empty() { "" } else { "." };
    format!("{left}{dot}{right}")
}

/// A value of the provider's inside a message: quoted, escaped and not too long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
