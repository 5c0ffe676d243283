//! Which sinks get an event: decided once, when it is appended.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use vod_event::{Event, EventId, Reading, Status};

use crate::envelope::Labels;
use crate::name::{SinkName, SourceName};
use crate::parse::parse;

/// What one sink wants. Each part that is absent lets everything through; those that are there must all agree.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Event types, as the provider names them.
    pub events: Option<OneOrMany>,
    /// `success`, `fail`. An event without a status, or with one of its own, passes only where this is absent.
    pub status: Option<OneOrMany>,
    /// Sources, like `callbacks.main`.
    pub sources: Option<OneOrMany>,
    /// Labels of the source, each with the values that are wanted.
    pub labels: BTreeMap<String, OneOrMany>,
    /// Fields of the event by the provider's names, dots leading inside, also into JSON that stands in a string.
    #[serde(rename = "where")]
    pub fields: BTreeMap<String, Condition>,
    /// Takes the events that match no other sink.
    pub unmatched: bool,
}

/// One text, or a list of them; a number counts as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OneOrMany(pub Vec<String>);

/// What a field has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// One of these.
    pub any_of: Vec<String>,
    /// Or not there at all.
    pub or_absent: bool,
}

/// The filters of all sinks.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    filters: Vec<(SinkName, Filter)>,
    labels: BTreeMap<SourceName, Labels>,
}

/// A body that was read, with the sinks that get the event.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Which event it is.
    pub id: EventId,
    /// What it says.
    pub event: Event,
    /// Who gets it.
    pub sinks: Vec<SinkName>,
}

/// Whether a sink gets an event, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The sink.
    pub sink: SinkName,
    /// Whether it gets the event.
    pub takes: bool,
    /// What decided it.
    pub why: String,
}

impl Routes {
    /// Routes over these filters.
    #[must_use]
    pub fn new(filters: Vec<(SinkName, Filter)>) -> Self {
        Self { filters, labels: BTreeMap::new() }
    }

    /// With the labels that sources have today: for events of which only the source is known.
    #[must_use]
    pub fn with_labels(self, labels: BTreeMap<SourceName, Labels>) -> Self {
        Self { labels, ..self }
    }

    /// Whether a sink of that name is configured.
    #[must_use]
    pub fn know(&self, sink: &SinkName) -> bool {
        self.filters.iter().any(|(name, _)| name == sink)
    }

    /// Reads a body and says what it is and which sinks get it.
    ///
    /// # Errors
    /// With the reason why it cannot be read as an event. A panic of the parser is a bug of ours, and such a reason:
    /// the event is kept, and a mended parser reads it again.
    pub fn read(&self, body: &[u8], source: &SourceName, labels: &Labels) -> Result<Routed, String> {
        self.read_again(body, source, labels, &[])
    }

    /// As [`Routes::read`], of an event that came by other sources as well: a sink that wants it from one of them gets
    /// it. Of those the labels of today count, and none where a source is not configured any more.
    ///
    /// # Errors
    /// As [`Routes::read`].
    pub fn read_again(
        &self,
        body: &[u8],
        source: &SourceName,
        labels: &Labels,
        others: &[SourceName],
    ) -> Result<Routed, String> {
        let none = Labels::new();
        let others = others.iter().map(|other| (other, self.labels.get(other).unwrap_or(&none)));
        let came: Vec<(&SourceName, &Labels)> = std::iter::once((source, labels)).chain(others).collect();
        parse(body, |reading| {
            let sinks = self.sinks_for_any(&reading, &came);
            Ok(Routed { id: reading.id(), event: reading.into_event(), sinks })
        })
    }

    /// What each sink makes of the event that the body says, with the reason.
    ///
    /// # Errors
    /// As [`Routes::read`].
    pub fn verdicts(
        &self,
        body: &[u8],
        source: &SourceName,
        labels: &Labels,
    ) -> Result<Vec<Verdict>, String> {
        parse(body, |reading| Ok(self.explain(&reading, source, labels)))
    }

    /// The sinks that get the event.
    #[must_use]
    pub fn sinks_for(&self, reading: &Reading<'_>, source: &SourceName, labels: &Labels) -> Vec<SinkName> {
        self.sinks_for_any(reading, &[(source, labels)])
    }

    fn sinks_for_any(&self, reading: &Reading<'_>, came: &[(&SourceName, &Labels)]) -> Vec<SinkName> {
        let takers = |unmatched: bool| -> Vec<SinkName> {
            let wanted = |(_, filter): &&(SinkName, Filter)| {
                let agrees = |(source, labels): &(&SourceName, &Labels)| {
                    filter.objection(reading, source, labels).is_none()
                };
                filter.unmatched == unmatched && came.iter().any(agrees)
            };
            self.filters.iter().filter(wanted).map(|(sink, _)| sink.clone()).collect()
        };
        let matched = takers(false);
        if matched.is_empty() { takers(true) } else { matched }
    }

    /// What each sink makes of the event, with the reason.
    #[must_use]
    pub fn explain(&self, reading: &Reading<'_>, source: &SourceName, labels: &Labels) -> Vec<Verdict> {
        let taking = self.sinks_for(reading, source, labels);
        let verdict = |(sink, filter): &(SinkName, Filter)| {
            let takes = taking.contains(sink);
            let why = match filter.objection(reading, source, labels) {
                Some(objection) => objection,
                None if filter.unmatched && takes => {
                    "no other sink matches, and this one takes those".to_owned()
                }
                None if filter.unmatched => "another sink matches".to_owned(),
                None => "every filter matches".to_owned(),
            };
            Verdict { sink: sink.clone(), takes, why }
        };
        self.filters.iter().map(verdict).collect()
    }
}

impl Filter {
    /// The first part that does not agree, in words; nothing where all do.
    fn objection(&self, reading: &Reading<'_>, source: &SourceName, labels: &Labels) -> Option<String> {
        let event = reading.event();
        if let Some(events) = self.events.as_ref().filter(|events| !events.has(&event.event_type)) {
            return Some(format!("events is {events}, and this is {}", event.event_type));
        }
        if let Some(words) = &self.status {
            let status =
                event.status.as_ref().filter(|status| matches!(status, Status::Success | Status::Fail));
            if !status.is_some_and(|status| words.has(status.as_str())) {
                let found = event.status.as_ref().map_or("absent", Status::as_str);
                return Some(format!("status is {words}, and this is {found}"));
            }
        }
        if let Some(sources) = self.sources.as_ref().filter(|sources| !sources.has(source.as_str())) {
            return Some(format!("sources is {sources}, and this came from {source}"));
        }
        for (label, wanted) in &self.labels {
            if !labels.get(label).is_some_and(|value| wanted.has(value)) {
                let found = labels.get(label).map_or("absent", String::as_str);
                return Some(format!("labels.{label} is {wanted}, and this is {found}"));
            }
        }
        self.fields.iter().find_map(|(path, condition)| condition.objection(path, reading))
    }
}

impl Condition {
    fn objection(&self, path: &str, reading: &Reading<'_>) -> Option<String> {
        let values = reading.field(path);
        let agrees = match &values {
            Some(values) => values.iter().any(|value| self.any_of.contains(value)),
            None => self.or_absent,
        };
        let found = values.map_or_else(|| "absent".to_owned(), |values| values.join(", "));
        (!agrees)
            .then(|| format!("where {path:?} is {}, and this is {found}", OneOrMany(self.any_of.clone())))
    }
}

impl OneOrMany {
    fn has(&self, value: &str) -> bool {
        self.0.iter().any(|wanted| wanted == value)
    }
}

impl fmt::Display for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" or "))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let condition = deserializer.deserialize_any(ConditionVisitor { table_allowed: false })?;
        Ok(Self(condition.any_of))
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConditionVisitor { table_allowed: true })
    }
}

struct ConditionVisitor {
    table_allowed: bool,
}

// Written by hand, as an untagged enum would lose the path and the three forms from its message.
impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")?;
        if self.table_allowed {
            f.write_str(r#", or { any_of = ["…"], or_absent = true }"#)
        } else {
            Ok(())
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Condition, E> {
        Ok(Condition { any_of: vec![value.to_owned()], or_absent: false })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Condition, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Condition, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Condition, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Condition, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Condition, A::Error> {
        let mut any_of = Vec::new();
        while let Some(OneOrMany(values)) = seq.next_element()? {
            any_of.extend(values);
        }
        Ok(Condition { any_of, or_absent: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
        if !self.table_allowed {
            return Err(A::Error::custom("expected a string or a list of strings, not a table"));
        }
        let mut condition = Condition { any_of: Vec::new(), or_absent: false };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "any_of" => condition.any_of = map.next_value::<OneOrMany>()?.0,
                "or_absent" => condition.or_absent = map.next_value()?,
                other => return Err(A::Error::unknown_field(other, &["any_of", "or_absent"])),
            }
        }
        Ok(condition)
    }
}
