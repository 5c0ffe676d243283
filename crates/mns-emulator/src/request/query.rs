//! The query of a request target: few parameters, whose names SDKs spell in several ways.

use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;

use crate::attributes::out_of_range;
use crate::refusal::Refusal;

#[derive(Debug)]
pub(crate) struct Query<'t> {
    pairs: Vec<(&'t str, &'t str)>,
    /// Names count only as the documents spell them.
    strict: bool,
}

impl<'t> Query<'t> {
    pub(crate) fn new(query: &'t str, strict: bool) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self { pairs: pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect(), strict }
    }

    /// The value, percent-decoded. A plus sign is itself: handles have some.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(value) = self.raw(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let decoded = percent_decode_str(value).decode_utf8().map_err(|_| Refusal::invalid_query(name))?;
        Ok(Some(decoded.into_owned()))
    }

    /// The value, as a number in that range.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.raw(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let number: i64 = value.parse().map_err(|_| Refusal::invalid_query(name))?;
        let number = u32::try_from(number).ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| out_of_range(name, &range))
    }

    /// Whether the value is `true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn raw(&self, name: &str) -> Option<&'t str> {
        let strict = self.strict;
        let named = |key: &str| if strict { key == name } else { key.eq_ignore_ascii_case(name) };
        self.pairs.iter().find(|(key, _)| named(key)).map(|(_, value)| *value)
    }
}
