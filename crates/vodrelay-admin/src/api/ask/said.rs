//! What a body or a query says, read strictly and by the same rules for all: an object is written as one, no name stands
//! twice, and a number is whole and one that the journal can count to.

use std::fmt;

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

/// A value, before anybody knows what it is for.
#[derive(Debug)]
pub(super) enum Said {
    Nothing,
    Flag(bool),
    Whole(i64),
    /// Any other number.
    Number(f64),
    Text(String),
    /// What stands behind the question mark: a text, a number or a flag, whichever is wanted there.
    Word(String),
    List(Vec<Self>),
    /// As it was written, so that whoever reads it finds what stands there twice.
    Object(Vec<(String, Self)>),
}

impl Said {
    /// As what is wanted.
    ///
    /// # Errors
    /// With the place in it, or else `whole`, and what is wrong there.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(self, whole: &str) -> Result<T, String> {
        serde_path_to_error::deserialize(self).map_err(|error| {
            let place = match error.path().to_string() {
                place if place == "." || place == "?" => whole.to_owned(),
                place => place,
            };
            format!("{place}: {}", error.into_inner())
        })
    }

    fn number(self) -> Result<Self, Error> {
        let Self::Word(word) = self else { return Ok(self) };
        match word.parse() {
            Ok(number) => Ok(Self::Whole(number)),
            Err(error) => Err(Error::custom(format!("it is not a number from 0 to {}: {error}", i64::MAX))),
        }
    }
}

impl<'de> Deserializer<'de> for Said {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Nothing => visitor.visit_unit(),
            Self::Flag(flag) => visitor.visit_bool(flag),
            Self::Whole(number) => visitor.visit_i64(number),
            Self::Number(number) => Err(Error::custom(format!(
                "{number:?} is not a whole number from {} to {}",
                i64::MIN,
                i64::MAX
            ))),
            Self::Text(text) | Self::Word(text) => visitor.visit_string(text),
            Self::List(items) => {
                let mut items = SeqDeserializer::new(items.into_iter());
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Self::Object(members) => {
                let mut members = MapDeserializer::new(members.into_iter());
                let value = visitor.visit_map(&mut members)?;
                members.end().map(|()| value)
            }
        }
    }

    /// serde takes a list for a struct, its items for the members in their order. Nobody means that.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            _ => Err(Error::custom("it is not an object; write its members by name, between { and }")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Text(word) | Self::Word(word) => {
                word.into_deserializer().deserialize_enum(name, variants, visitor)
            }
            _ => Err(Error::custom(format!("it is not a word; there are: {}", variants.join(", ")))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Word(word) => match word.parse() {
                Ok(flag) => visitor.visit_bool(flag),
                Err(_) => Err(Error::custom("it is neither true nor false")),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number()?.deserialize_any(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number()?.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 u32 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

impl IntoDeserializer<'_> for Said {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Said, E> {
        Ok(Said::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Said, E> {
        Ok(Said::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Said, E> {
        Ok(Said::Whole(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "whatever is so large is only told that it is")]
    fn visit_u64<E>(self, number: u64) -> Result<Said, E> {
        Ok(i64::try_from(number).map_or(Said::Number(number as f64), Said::Whole))
    }

    /// By JSON Schema `7.0` is an integer.
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the bounds")]
    fn visit_f64<E>(self, number: f64) -> Result<Said, E> {
        // What is beyond them by little was rounded to them.
        let is_whole = number.fract() == 0.0 && number.abs() < 2_f64.powi(63);
        Ok(if is_whole { Said::Whole(number as i64) } else { Said::Number(number) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Said, E> {
        Ok(Said::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Said, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Said::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Said, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Said::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use vodrelay_core::ledger::{LetterFilter, Limit};
    use vodrelay_core::replay::What;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Wanted {
        filter: Option<LetterFilter>,
        what: Option<What>,
        after: Option<u64>,
        limit: Option<Limit>,
        window: Option<(i64, i64)>,
        all: bool,
    }

    fn check_read<T: fmt::Debug>(read: &Result<T, String>, from: &str, expect: Result<&str, &str>) {
        match (read, expect) {
            (Ok(read), Ok(says)) => assert!(format!("{read:?}").contains(says), "{from}: {read:?}"),
            (Err(why), Err(says)) => assert!(why.starts_with(says), "{from}: {why}"),
            _ => panic!("{from}: {read:?}"),
        }
    }

    #[test]
    fn a_body_is_what_it_is_meant_to_be() {
        let check = |body: &str, expect: Result<&str, &str>| {
            let said: Said = serde_json::from_str(body).unwrap();
            check_read(&said.read::<Wanted>("the body"), body, expect);
        };
        check("{}", Ok("after: None"));
        check(r#"{"after": 7.0, "limit": null}"#, Ok("after: Some(7), limit: None"));
        check(r#"{"after": 9223372036854775807}"#, Ok("after: Some(9223372036854775807)"));
        check(
            r#"{"after": 9223372036854775808}"#,
            Err("after: 9.223372036854776e18 is not a whole number from"),
        );
        check(r#"{"window": [-9223372036854775808, 0]}"#, Ok("(-9223372036854775808, 0)"));
        check(
            r#"{"window": [-9223372036854775809, 0]}"#,
            Err("window[0]: -9.223372036854776e18 is not a whole"),
        );
        check(r#"{"after": 1e300}"#, Err("after: 1e300 is not a whole number"));
        check(r#"{"after": 1.5}"#, Err("after: 1.5 is not a whole number"));
        check(r#"{"after": -1}"#, Err("after: "));
        check(r#"{"after": "7"}"#, Err("after: "));
        check(r#"{"limit": 0}"#, Err("limit: 0 is too few"));
        check(r#"{"window": [-1, 1]}"#, Ok("window: Some((-1, 1))"));
        check(r#"{"window": [1]}"#, Err("window: "));
        check(r#"{"window": [1, 2, 3]}"#, Err("window: "));
        check(r#"{"what": "events"}"#, Ok("what: Some(Events)"));
        check(r#"{"what": {"events": null}}"#, Err("what: it is not a word; there are: dead_letters"));
        check(r#"{"all": "true"}"#, Err("all: "));
        check("[]", Err("the body: it is not an object"));
        check("[null, null]", Err("the body: it is not an object"));
        check("null", Err("the body: it is not an object"));
        check(r#"{"filter": [[], "cms"]}"#, Err("filter: it is not an object"));
        check(r#"{"filter": {}, "filter": {}}"#, Err("the body: duplicate field `filter`"));
        check(r#"{"filter": {"sink": "Cms"}}"#, Err("filter.sink: \"Cms\" is not a name"));
        check(r#"{"filter": {"since": "noon"}}"#, Err("filter.since: \"noon\" is not a moment in RFC 3339"));
        check(r#"{"filter": {"snk": "cms"}}"#, Err("filter.snk: unknown field"));
    }

    #[test]
    fn a_query_is_words() {
        let check = |name: &str, word: &str, expect: Result<&str, &str>| {
            let said = Said::Object(vec![(name.to_owned(), Said::Word(word.to_owned()))]);
            check_read(&said.read::<Wanted>("the query"), word, expect);
        };
        check("after", "7", Ok("after: Some(7)"));
        check("after", "9223372036854775808", Err("after: it is not a number from 0 to"));
        check("after", "-1", Err("after: "));
        check("after", "", Err("after: it is not a number"));
        check("limit", "0", Err("limit: 0 is too few"));
        check("limit", "5000", Ok("limit: Some(Limit(5000))"));
        check("all", "true", Ok("all: true"));
        check("all", "yes", Err("all: it is neither true nor false"));
        check("colour", "red", Err("colour: unknown field"));
    }
}
