//! A JSON object whose members stay as they were written, byte for byte, and in their order: what another relay has put
//! on a record, in whatever version, survives that this one writes it again.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Members by name, in their order. A name that stands twice keeps both.
#[derive(Clone, Debug, Default)]
pub(super) struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// The members of a value that is an object.
    pub(super) fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::from_str(to_raw_value(value)?.get())
    }

    /// The member, if there is one and it reads as that type.
    pub(super) fn get<'r, T: Deserialize<'r>>(&'r self, name: &str) -> Option<T> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        serde_json::from_str(value.get()).ok()
    }

    /// Puts a member in the place of the one of that name, else at the end.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) -> serde_json::Result<()> {
        let value = to_raw_value(value)?;
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Takes members of these names away, and puts the others at the end.
    pub(super) fn replace(&mut self, names: &[&str], others: Self) {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self.0.extend(others.0);
    }
}

impl PartialEq for RawObject {
    fn eq(&self, other: &Self) -> bool {
        let written = |object: &Self| {
            object.0.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect::<Vec<_>>()
        };
        written(self) == written(other)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = RawObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(RawObject(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        r#"{"b":123456789012345678901234567890,"a":[1.0,2e1, 3],"c":{"\u0041": null},"b":"\/"}"#;

    #[test]
    fn what_is_not_touched_stays_byte_for_byte() {
        let mut object: RawObject = serde_json::from_str(TEXT).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), TEXT);
        object.set("a", &"x").unwrap();
        object.set("d", &7).unwrap();
        let expect = TEXT.replace("[1.0,2e1, 3]", "\"x\"").replace("\"\\/\"}", "\"\\/\",\"d\":7}");
        assert_eq!(serde_json::to_string(&object).unwrap(), expect);
        object.replace(&["b", "c", "z"], RawObject::of(&serde_json::json!({"e": 1})).unwrap());
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"a":"x","d":7,"e":1}"#);
        assert_eq!((object.get("d"), object.get::<u8>("a"), object.get::<u8>("b")), (Some(7), None, None));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[]", "1", "\"a\"", "{\"a\":1", ""] {
            assert!(serde_json::from_str::<RawObject>(text).is_err(), "{text}");
        }
    }
}
