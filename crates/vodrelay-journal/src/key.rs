//! Numbers that the tables are joined by, and how moments are stored.

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use vod_event::EventId;

/// Bits of a delivery's id that name its sink.
const SINK_BITS: u32 = 12;
/// How many sinks a journal can know over its life.
pub(crate) const MOST_SINKS: i64 = (1 << SINK_BITS) - 1;

/// Names a delivery: the event's place in the order of acceptance, then the sink. One number says both, so no index
/// from events to their deliveries is needed, and a sink's deliveries sort as their events were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) i64);

impl Key {
    pub(crate) const fn new(seq: i64, sink: i64) -> Self {
        Self((seq << SINK_BITS) | sink)
    }

    pub(crate) const fn seq(self) -> i64 {
        self.0 >> SINK_BITS
    }

    pub(crate) const fn sink(self) -> i64 {
        self.0 & MOST_SINKS
    }

    /// The first and the last id that deliveries of that event can have.
    pub(crate) const fn range_of(seq: i64) -> (i64, i64) {
        (seq << SINK_BITS, (seq << SINK_BITS) | MOST_SINKS)
    }

    pub(crate) fn token_part(self) -> u64 {
        self.0.unsigned_abs()
    }

    pub(crate) fn from_token(part: u64) -> Option<Self> {
        i64::try_from(part).ok().map(Self)
    }
}

/// The event of that delivery, for logs; nothing where its row does not say.
pub(crate) fn event_id(conn: &Connection, key: Key) -> Option<EventId> {
    let read = |row: &Row<'_>| row.get(0).map(EventId::from_bytes);
    conn.query_row("SELECT id FROM events WHERE seq = ?1", [key.seq()], read).ok()
}

/// A moment as it is stored; those beyond the year 2262 become its end.
pub(crate) fn nanos(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_nanosecond()).unwrap_or(if moment > Timestamp::UNIX_EPOCH {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// The moment that was stored.
pub(crate) fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A span as it is stored.
pub(crate) fn nanos_of(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// A span in milliseconds, as it is stored where less will do.
pub(crate) fn millis_of(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The text, cut at a character's end to at most that many bytes.
pub(crate) fn excerpt(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_both() {
        let key = Key::new(77, 4095);
        assert_eq!((key.seq(), key.sink()), (77, 4095));
        let (first, last) = Key::range_of(77);
        assert!(first <= key.0 && key.0 <= last && last < Key::new(78, 0).0);
    }

    #[test]
    fn moments_come_back() {
        let exact: Timestamp = "2026-11-24T01:02:03.123456789Z".parse().unwrap();
        assert_eq!(moment(nanos(exact)), exact);
        assert_eq!(nanos(Timestamp::MAX), i64::MAX);
    }

    #[test]
    fn excerpts_end_at_a_character() {
        assert_eq!(excerpt("aé", 2), "a");
        assert_eq!(excerpt("aé", 3), "aé");
    }
}
