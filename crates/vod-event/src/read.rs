//! One tolerant reader for everything that VOD sends: bytes to [`Event`], in the order in which the steps stand in
//! [`read`]. What is odd becomes a doubt on the event; what cannot be read at all is [`Unreadable`].

mod catalogue;
mod embedded;
mod field;
mod image;
mod interpret;
mod unreadable;

use crate::event::{Doubt, Event};
use crate::id::{Canonical, EventId};
use crate::json::{self, Object, Oddity, OddityKind, Value};

pub(crate) use embedded::Embedded;
pub use unreadable::{Unreadable, UnreadableKind};

/// Reads the body of a callback, or of a queue message after [`queue::decode_body`](crate::queue::decode_body).
///
/// # Errors
/// If the body cannot be read as an event at all. It may be kept under [`EventId::of_raw`].
pub fn read(body: &[u8]) -> Result<Reading<'_>, Unreadable> {
    let text = utf8(body)?;
    let document = json::parse(text)?;
    let Value::Object(root) = document.value else {
        return Err(Unreadable::of(UnreadableKind::NotAnObject, "the top level is not an object"));
    };
    let mut oddities = document.oddities;
    let wrapping = Wrapping::of(&root)?;
    let event = match &wrapping {
        Wrapping::None => interpret::event(&root, None, &oddities)?,
        Wrapping::Object => interpret::event(wrapping.object_in(&root), Some(&root), &oddities)?,
        Wrapping::Text(embedded) => {
            let inner = embedded.parse()?;
            oddities.extend(inner.oddities_under("MessageBody"));
            interpret::event(inner.object(), Some(&root), &oddities)?
        }
    };
    let is_lossy = oddities.iter().any(|oddity| oddity.kind == OddityKind::LoneSurrogate);
    let wrapping = wrapping.into_owned();
    Ok(Reading { body, root, wrapping, is_lossy, event })
}
