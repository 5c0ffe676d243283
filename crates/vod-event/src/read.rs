//! One tolerant reader for everything that VOD sends: bytes to [`Event`], in the order in which the steps stand in
//! [`read`]. What is odd becomes a doubt on the event; what cannot be read at all is [`Unreadable`].

mod catalogue;
mod content;
mod embedded;
mod field;
mod image;
mod interpret;
mod members;
mod unreadable;

use std::fmt;

use crate::event::Event;
use crate::id::{Canonical, EventId};
use crate::json::{self, Object, OddityKind, Value};

use content::with_content;
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
        return Err(Unreadable::new(UnreadableKind::NotAnObject, "the top level is not an object"));
    };
    let event = with_content(&root, |content| interpret::event(content, &document.oddities))??;
    let is_lossy = document.oddities.iter().any(|oddity| oddity.kind == OddityKind::LoneSurrogate);
    Ok(Reading { body, root, is_lossy, event })
}

fn utf8(body: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(body).map_err(|error| {
        let what = format!("not UTF-8 at byte {}", error.valid_up_to());
        Unreadable::new(UnreadableKind::NotUtf8, what)
    })
}

/// A body that was read: the event, and what can be asked about the body beyond it.
pub struct Reading<'a> {
    body: &'a [u8],
    root: Object<'a>,
    /// Whether the body itself has an escape whose meaning is lost.
    is_lossy: bool,
    event: Event,
}

impl Reading<'_> {
    /// Which event it is. Computed at each call.
    #[must_use]
    pub fn id(&self) -> EventId {
        let canonical = with_content(&self.root, |content| {
            let is_lossy = self.is_lossy || content.is_lossy();
            if is_lossy { None } else { Canonical::of(content.object, content.envelope, self.body.len()) }
        });
        match canonical {
            Ok(Some(canonical)) => EventId::of_raw(canonical.as_bytes()),
            _ => EventId::of_raw(self.body),
        }
    }

    /// What the body says.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What the body says, to keep.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.event
    }

    /// The texts that a member has, by the provider's names: `VideoId`, `DynamicImageJobInfo.Width`, `Extend.env`.
    ///
    /// A dot leads into an object, also into one that stands as JSON text in a string (four such strings deep), and
    /// into each element of an array. A string has its own text, a number or boolean that of its token, an array
    /// those of its elements; an object is there, but has none. What is absent or null is nothing. In an envelope
    /// the names are those of its content first, then its own.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<Vec<String>> {
        let within = with_content(&self.root, |content| field::texts(content.object, path));
        within.ok().flatten().or_else(|| field::texts(&self.root, path))
    }
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("event", &self.event).finish_non_exhaustive()
    }
}
