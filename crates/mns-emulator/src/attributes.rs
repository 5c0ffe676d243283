//! What can be set of a queue, within which range.

use std::ops::RangeInclusive;

use crate::refusal::Refusal;
use crate::xml::Element;

/// What can be set of a queue. The default is the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// For how long each message stays invisible after it was sent, in seconds.
    pub delay_seconds: u32,
    /// The longest body that is taken, in bytes.
    pub maximum_message_size: u32,
    /// For how long a message is kept, whatever its state, in seconds.
    pub message_retention_period: u32,
    /// For how long a received message is invisible to others, in seconds.
    pub visibility_timeout: u32,
    /// How long a receive waits that does not say it itself, in seconds.
    pub polling_wait_seconds: u32,
    /// Whether the provider logs; kept and otherwise without effect.
    pub logging_enabled: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            delay_seconds: 0,
            maximum_message_size: 65_536,
            message_retention_period: 345_600,
            visibility_timeout: 30,
            polling_wait_seconds: 0,
            logging_enabled: false,
        }
    }
}

/// The ranges of the provider's documents; retention up to a week is the newer one.
const RANGES: [(&str, RangeInclusive<u32>); 5] = [
    ("DelaySeconds", 0..=604_800),
    ("MaximumMessageSize", 1_024..=65_536),
    ("MessageRetentionPeriod", 60..=604_800),
    ("VisibilityTimeout", 1..=43_200),
    ("PollingWaitSeconds", 0..=30),
];

impl Attributes {
    /// These, with what a `Queue` element says otherwise.
    pub(crate) fn changed_by(mut self, queue: &Element) -> Result<Self, Refusal> {
        for (name, range) in RANGES {
            if let (Some(element), Some(slot)) = (queue.child(name), self.number(name)) {
                *slot = number_in(element, &range)?;
            }
        }
        if let Some(element) = queue.child("LoggingEnabled") {
            self.logging_enabled = match element.text.trim() {
                text if text.eq_ignore_ascii_case("true") => true,
                text if text.eq_ignore_ascii_case("false") => false,
                _ => return Err(Refusal::invalid_argument("LoggingEnabled should be True or False.")),
            };
        }
        Ok(self)
    }

    /// As elements, in the provider's order.
    pub(crate) fn elements(mut self) -> Vec<Element> {
        let mut elements = Vec::new();
        for (name, _) in RANGES {
            elements.extend(self.number(name).map(|number| Element::text(name, number)));
        }
        elements.push(Element::text("LoggingEnabled", if self.logging_enabled { "True" } else { "False" }));
        elements
    }

    fn number(&mut self, name: &str) -> Option<&mut u32> {
        match name {
            "DelaySeconds" => Some(&mut self.delay_seconds),
            "MaximumMessageSize" => Some(&mut self.maximum_message_size),
            "MessageRetentionPeriod" => Some(&mut self.message_retention_period),
            "VisibilityTimeout" => Some(&mut self.visibility_timeout),
            "PollingWaitSeconds" => Some(&mut self.polling_wait_seconds),
            _ => None,
        }
    }
}

/// The number that an element holds.
pub(crate) fn number_in(element: &Element, range: &RangeInclusive<u32>) -> Result<u32, Refusal> {
    let number = element.text.trim().parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| out_of_range(&element.name, range))
}

/// The refusal of a value outside of its range.
pub(crate) fn out_of_range(name: &str, range: &RangeInclusive<u32>) -> Refusal {
    let (from, to) = (range.start(), range.end());
    Refusal::invalid_argument(format!("The value of {name} should be between {from} and {to}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes_and_only_within_its_range() {
        let check = |inner: &str, expected: Result<Attributes, &str>| {
            let root = crate::xml::read(format!("<Queue>{inner}</Queue>").as_bytes()).unwrap();
            let changed = Attributes::default().changed_by(&root);
            assert_eq!(changed.map_err(|refusal| refusal.code), expected, "{inner}");
        };
        let default = Attributes::default();
        check("", Ok(default));
        check("<Unknown>1</Unknown>", Ok(default));
        check(
            "<VisibilityTimeout> 60 </VisibilityTimeout>",
            Ok(Attributes { visibility_timeout: 60, ..default }),
        );
        check("<LoggingEnabled>true</LoggingEnabled>", Ok(Attributes { logging_enabled: true, ..default }));
        check("<LoggingEnabled>yes</LoggingEnabled>", Err("InvalidArgument"));
        for (name, range) in RANGES {
            for (value, fits) in [
                (i64::from(*range.start()), true),
                (i64::from(*range.end()), true),
                (i64::from(*range.start()) - 1, false),
                (i64::from(*range.end()) + 1, false),
            ] {
                let root =
                    crate::xml::read(format!("<Queue><{name}>{value}</{name}></Queue>").as_bytes()).unwrap();
                assert_eq!(default.changed_by(&root).is_ok(), fits, "{name} {value}");
            }
        }
    }
}
