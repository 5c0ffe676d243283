//! The archive's record of an event: one line of JSON that says everything we know, so that query engines read a
//! folder of them as a table.

mod first;
mod raw;

use serde::Serialize;
use vod_event::Doubt;
use vodrelay_core::Envelope;

use self::raw::RawObject;
use super::failure::Failure;
use super::inspect::{Facts, Format};

/// Names the layout; a new layout gets a new number.
pub(super) const SCHEMA: &str = "urn:vodrelay:record:1";

/// Where the record of an event stands: `events/date=YYYY-MM-DD/ID.json`, by the UTC day of the event, or of its
/// acceptance where its own time is not known. Two relays that got the same event write the same key, and nothing of it
/// is the provider's text.
pub(super) fn key(envelope: &Envelope) -> String {
    format!("events/{}/{}.json", day(envelope), envelope.id)
}

/// Where an image of an event stands: `images/date=YYYY-MM-DD/ID.PLACE.gif`.
pub(super) fn image_key(envelope: &Envelope, place: usize, format: Format) -> String {
    format!("images/{}/{}.{place}.{}", day(envelope), envelope.id, format.word())
}

fn day(envelope: &Envelope) -> String {
    let event_time = envelope.event().ok().and_then(|event| event.event_time);
    let time = event_time.map_or(envelope.received_at, |time| time.0);
    time.strftime("date=%Y-%m-%d").to_string()
}

/// What has become of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum State {
    /// Only its URL is kept.
    Linked { reason: String },
    /// It is going to be fetched.
    Pending,
    /// The whole image stands in the store.
    Kept(Kept),
    /// It could not be fetched.
    Failed { cause: &'static str, reason: String },
}

/// Where the image stands, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Kept {
    key: String,
    sha256: String,
    kept_bytes: u64,
    format: &'static str,
    frames: u64,
    kept_width_px: u32,
    kept_height_px: u32,
    doubts: Vec<Doubt>,
}

/// Every member that a state has.
const OF_STATES: [&str; 11] = [
    "state",
    "reason",
    "cause",
    "key",
    "sha256",
    "kept_bytes",
    "format",
    "frames",
    "kept_width_px",
    "kept_height_px",
    "doubts",
];

impl Kept {
    pub(super) fn new(key: String, facts: &Facts, doubts: Vec<Doubt>) -> Self {
        let sha256 = facts.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            key,
            sha256,
            kept_bytes: facts.bytes,
            format: facts.format.word(),
            frames: facts.frames,
            kept_width_px: facts.width_px,
            kept_height_px: facts.height_px,
            doubts,
        }
    }

    /// How much of it is in the store.
    pub(super) fn bytes(&self) -> u64 {
        self.kept_bytes
    }
}

impl From<&Failure> for State {
    fn from(failure: &Failure) -> Self {
        Self::Failed { cause: failure.cause.word(), reason: failure.message.clone() }
    }
}

/// A record as it stands in the store.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    members: RawObject,
    images: Vec<RawObject>,
}

impl Record {
    /// Reads the record of that event, which has so many images.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(json: &[u8], id: &str, images: usize) -> Result<Self, String> {
        let members: RawObject = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if members.get::<&str>("schema") != Some(SCHEMA) {
            return Err(format!("its schema is not {SCHEMA}"));
        }
        let event: RawObject = members.get("event").ok_or("it has no event")?;
        if event.get::<&str>("id") != Some(id) {
            return Err("it is of another event".to_owned());
        }
        let found: Vec<RawObject> = members.get("images").ok_or("it has no list of images")?;
        if found.len() != images {
            return Err(format!("it has {} images, and the event {images}", found.len()));
        }
        Ok(Self { members, images: found })
    }

    /// How many images it is about.
    pub(super) fn images(&self) -> usize {
        self.images.len()
    }

    /// Whether the image stands in the store.
    pub(super) fn has_kept(&self, place: usize) -> bool {
        self.images.get(place).is_some_and(|image| image.get::<&str>("state") == Some("kept"))
    }

    /// The key under which a kept image should stand.
    pub(super) fn key_of_kept(&self, place: usize) -> Option<String> {
        self.images.get(place).filter(|_| self.has_kept(place))?.get("key")
    }

    /// Has an image that is kept no longer be open again: whatever is noted of it next counts.
    pub(super) fn forget(&mut self, place: usize) {
        if let (Some(image), Ok(pending)) = (self.images.get_mut(place), RawObject::of(&State::Pending)) {
            image.replace(&OF_STATES, pending);
        }
    }

    /// The cause and the reason, where the last attempt to fetch the image has failed.
    pub(super) fn failure(&self, place: usize) -> Option<(String, String)> {
        let image = self.images.get(place).filter(|image| image.get::<&str>("state") == Some("failed"))?;
        Some((image.get("cause")?, image.get("reason")?))
    }

    /// Notes what became of an image, unless it is kept already. Says whether that changes the record.
    pub(super) fn note(&mut self, place: usize, state: &State) -> serde_json::Result<bool> {
        let Some(image) = self.images.get_mut(place) else { return Ok(false) };
        if image.get::<&str>("state") == Some("kept") {
            return Ok(false);
        }
        let before = image.clone();
        image.replace(&OF_STATES, RawObject::of(state)?);
        Ok(*image != before)
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        let mut members = self.members.clone();
        members.set("images", &self.images)?;
        let mut json = serde_json::to_vec(&members)?;
        json.push(b'\n');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"schema":"urn:vodrelay:record:1","event":{"id":"evt_1","fields":{"Big":123456789012345678901234567890}},"images":[{"url":"http://h/","fps":25.50,"state":"pending"},{"url":null,"state":"kept","key":"k","from a later version":1.0}],"body":{"content":"\u00e4"},"receipt":{"source":"a"},"later":[ ]}"#;

    fn failed(reason: &str) -> State {
        State::Failed { cause: "denied", reason: reason.to_owned() }
    }

    #[test]
    fn only_the_state_of_an_image_changes() {
        let mut record = Record::read(RECORD.as_bytes(), "evt_1", 2).unwrap();
        assert_eq!(record.json().unwrap(), format!("{RECORD}\n").into_bytes());
        assert!(record.note(0, &failed("r")).unwrap());
        assert!(!record.note(0, &failed("r")).unwrap(), "the same again is no change");
        assert_eq!(record.failure(0), Some(("denied".to_owned(), "r".to_owned())));
        assert_eq!((record.failure(1), record.failure(2)), (None, None));
        let expect =
            RECORD.replace(r#""state":"pending""#, r#""state":"failed","cause":"denied","reason":"r""#);
        assert_eq!(String::from_utf8(record.json().unwrap()).unwrap(), format!("{expect}\n"));
        assert!(record.note(0, &State::Pending).unwrap());
        assert_eq!(record.json().unwrap(), format!("{RECORD}\n").into_bytes());
    }

    #[test]
    fn what_is_kept_stays_kept() {
        let mut record = Record::read(RECORD.as_bytes(), "evt_1", 2).unwrap();
        assert_eq!((record.has_kept(0), record.has_kept(1), record.has_kept(2)), (false, true, false));
        assert!(!record.note(1, &failed("r")).unwrap());
        assert!(!record.note(2, &failed("r")).unwrap());
        assert_eq!(record.json().unwrap(), format!("{RECORD}\n").into_bytes());
    }

    #[test]
    fn what_is_kept_no_longer_is_open_again() {
        let mut record = Record::read(RECORD.as_bytes(), "evt_1", 2).unwrap();
        assert_eq!((record.key_of_kept(1).as_deref(), record.key_of_kept(0)), (Some("k"), None));
        record.forget(1);
        record.forget(2);
        assert!(!record.has_kept(1) && record.note(1, &failed("r")).unwrap());
        let json = String::from_utf8(record.json().unwrap()).unwrap();
        let expect =
            r#"{"url":null,"from a later version":1.0,"state":"failed","cause":"denied","reason":"r"}"#;
        assert!(json.contains(expect), "{json}");
    }

    #[test]
    fn what_is_no_record_of_the_event_is_named() {
        let check = |json: &str, images: usize, expect: &str| {
            assert_eq!(Record::read(json.as_bytes(), "evt_1", images).unwrap_err(), expect);
        };
        check("", 0, "EOF while parsing a value at line 1 column 0");
        check("{}", 0, "its schema is not urn:vodrelay:record:1");
        check(r#"{"schema":"urn:vodrelay:record:1"}"#, 0, "it has no event");
        let other = r#"{"schema":"urn:vodrelay:record:1","event":{"id":"evt_2"}}"#;
        check(other, 0, "it is of another event");
        check(&other.replace("evt_2", "evt_1"), 0, "it has no list of images");
        check(RECORD, 1, "it has 2 images, and the event 1");
    }

    #[test]
    fn every_member_of_a_state_is_known() {
        let facts = Facts {
            format: Format::Gif,
            width_px: 1,
            height_px: 2,
            frames: 3,
            bytes: 4,
            zeros_after: 0,
            sha256: [0xab; 32],
        };
        let kept = Kept::new("k".to_owned(), &facts, vec![]);
        let states =
            [State::Linked { reason: "r".to_owned() }, State::Pending, State::Kept(kept), failed("r")];
        for state in states {
            let json = serde_json::to_value(&state).unwrap();
            for name in json.as_object().unwrap().keys() {
                assert!(OF_STATES.contains(&name.as_str()), "{name}");
            }
        }
    }
}
