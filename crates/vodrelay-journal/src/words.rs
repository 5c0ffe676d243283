//! Texts that repeat are stored once and named by a number.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

/// Beyond so many the cache starts anew; the texts come from a configuration and a provider with a few dozen words.
const MOST_CACHED: usize = 4_096;

/// The numbers that the writer has met.
#[derive(Debug, Default)]
pub(crate) struct Words {
    known: HashMap<Box<str>, i64>,
}

impl Words {
    /// The number of the text, given out in the running transaction where there is none yet.
    pub(crate) fn number(&mut self, conn: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.known.get(text) {
            return Ok(*number);
        }
        let found = conn
            .prepare_cached("SELECT id FROM words WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let number = match found {
            Some(number) => number,
            None => conn.prepare_cached("INSERT INTO words (text) VALUES (?1)")?.insert([text])?,
        };
        if self.known.len() >= MOST_CACHED {
            self.known.clear();
        }
        self.known.insert(text.into(), number);
        Ok(number)
    }

    /// After a transaction that came to nothing, numbers given out in it are no longer true.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}
