//! Numbers that must not be rounded.

use std::fmt;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json;

/// A JSON number kept as its own text, so that `12.5` stays `12.5` and no digit is rounded away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal(String);

impl Decimal {
    /// From a text that is a number by JSON's grammar; from anything else, nothing.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        json::is_number(text).then(|| Self(text.to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_json_calls_a_number() {
        for text in ["25", "12.5", "0", "-0.50", "1e3", "123456789012345678901234567890"] {
            let decimal = Decimal::new(text).unwrap();
            assert_eq!(serde_json::to_string(&decimal).unwrap(), text);
            assert_eq!(decimal.to_string(), decimal.as_str());
        }
        for text in ["", " 25", "25 ", "+25", "025", ".5", "5.", "1e", "NaN", "0x10", "٢"] {
            assert_eq!(Decimal::new(text), None, "{text:?}");
        }
    }
}
