//! Reading a body where a panic must not end the relay: a body that does that is one that cannot be read, no more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vod_event::Reading;

/// The reason that stands on an event whose parser panicked: a bug of ours, kept so that a mended parser reads it.
const PARSER_PANICKED: &str = "the parser panicked; please report it with this body";

/// Reads the body and makes something of what it says.
///
/// # Errors
/// With the reason why it cannot be read as an event, or what `make` says.
pub(crate) fn parse<T>(
    body: &[u8],
    make: impl FnOnce(Reading<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let read = || vod_event::read(body).map_err(|unreadable| unreadable.to_string()).and_then(make);
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(PARSER_PANICKED.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event_body;

    #[test]
    fn a_panic_is_a_reason_like_any_other() {
        let body = event_body(1);
        assert_eq!(
            parse(&body, |reading| Ok(reading.into_event().event_type)).unwrap(),
            "DynamicImageComplete"
        );
        assert_eq!(parse::<()>(&body, |_| panic!("a bug of ours")), Err(PARSER_PANICKED.to_owned()));
        assert_ne!(parse(b"[", |_| Ok(())), Ok(()));
    }
}
