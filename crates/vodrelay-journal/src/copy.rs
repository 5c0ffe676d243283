//! A new journal made row by row, for a backup or for what was salvaged: under another name until it is whole.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use crate::error::OpenError;
use crate::folder;
use crate::open::FILE;
use crate::schema;

/// A table and its columns, in the order in which rows are copied; the key first where there is one.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static str,
}

pub(crate) const WORDS: Table = Table { name: "words", columns: "id, text" };
pub(crate) const SINKS: Table = Table { name: "sinks", columns: "id, name" };
pub(crate) const EVENTS: Table = Table {
    name: "events",
    columns: "seq, id, source, labels, received_at, state, event_type, event_time, status, video_id, media_id, job_id, unreadable, sha256, body",
};
pub(crate) const SOURCES: Table =
    Table { name: "event_sources", columns: "event, source, first_at, repeats" };
pub(crate) const DELIVERIES: Table = Table {
    name: "deliveries",
    columns: "id, sink, state, attempts, tries, replays, crashes, age_ms, due_at, first_attempt_at, last_attempt_at, settled_at, status, took_ms, reason",
};
pub(crate) const ATTEMPTS: Table =
    Table { name: "attempts", columns: "delivery, number, started_at, took_ms, status, note" };
pub(crate) const REFUSALS: Table = Table {
    name: "refusals",
    columns: "id, source, cause, detail, received_at, address, timestamp, signature, cut_short, bytes, body",
};

/// Dead letters that were purged, which the second schema added: each a delivery of an event.
pub(crate) const PURGED: Table =
    Table { name: "purged", columns: "delivery, attempts, replays, status, reason, settled_at, purged_at" };

/// The other tables that the second schema added.
const OF_SCHEMA_2: [Table; 2] = [
    Table { name: "lives", columns: "id, started_at, beat_at, ended" },
    Table { name: "troubles", columns: "id, kind, source, first_at, last_at, count, kept, settled" },
];

/// The tables that the third schema added.
const OF_SCHEMA_3: [Table; 2] = [
    Table { name: "audit", columns: "id, at, token, address, action, request, status, result" },
    Table { name: "jobs", columns: "id, state, job" },
];

/// The tables that the fourth schema added.
const OF_SCHEMA_4: [Table; 1] = [Table { name: "traces", columns: "event, context" }];

/// The tables that the fifth schema added.
const OF_SCHEMA_5: [Table; 1] = [Table { name: "forgotten", columns: "seq, id, at" }];

/// The tables that a file of that schema has besides those of the first.
pub(crate) fn of_later_schemas(version: i64) -> impl Iterator<Item = &'static Table> {
    let later: [(i64, &[Table]); 4] =
        [(2, &OF_SCHEMA_2), (3, &OF_SCHEMA_3), (4, &OF_SCHEMA_4), (5, &OF_SCHEMA_5)];
    later.into_iter().filter(move |(schema, _)| *schema <= version).flat_map(|(_, tables)| tables)
}

/// Where the tables of names end, if nothing says so.
pub(crate) const MOST_NAMES: i64 = 1 << 14;

impl Table {
    /// The first column.
    pub(crate) fn key(&self) -> &'static str {
        self.columns.split(',').next().unwrap_or_default()
    }

    /// A query for its columns; `rest` says which rows.
    pub(crate) fn select(&self, rest: &str) -> String {
        format!("SELECT {} FROM {} {rest}", self.columns, self.name)
    }

    fn insert(&self) -> String {
        let places = vec!["?"; self.columns.split(',').count()].join(", ");
        format!("INSERT INTO {} ({}) VALUES ({places})", self.name, self.columns)
    }
}

/// The sinks that are paused, since when, and why.
pub(crate) fn pauses(from: &Connection) -> rusqlite::Result<Vec<(i64, i64, Option<String>)>> {
    let sql = "SELECT id, paused_at, pause_reason FROM sinks WHERE paused_at IS NOT NULL";
    from.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// The sinks, and how many deliveries to each a journal counts.
pub(crate) fn counted(from: &Connection) -> rusqlite::Result<Vec<(i64, String, i64)>> {
    let sql = "SELECT id, name, pending + dead_letters + delivered FROM sinks ORDER BY id";
    from.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// Why a copy came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The journal that is to be copied cannot be opened.
    #[error(transparent)]
    Source(#[from] OpenError),
    /// The journal that is to be copied does not read.
    #[error("{path} does not read: {cause}; run `vodrelay journal verify`, then `vodrelay journal salvage`")]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// Nothing is written over.
    #[error("{path} is there already; name another one, or move it away")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The copy cannot be written.
    #[error("cannot write {path}: {cause}; make room there, or name another place")]
    Target {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}

impl CopyError {
    pub(crate) fn damaged(path: &Path, error: &rusqlite::Error) -> Self {
        Self::Damaged { path: path.to_owned(), cause: error.to_string() }
    }

    pub(crate) fn target(path: &Path, error: &dyn std::error::Error) -> Self {
        Self::Target { path: path.to_owned(), cause: error.to_string() }
    }
}

/// The file that a target means: a folder gets the journal's own file.
pub(crate) fn file_of(to: &Path) -> PathBuf {
    if to.extension().is_some_and(|extension| extension == "sqlite3") { to.to_owned() } else { to.join(FILE) }
}

/// Nothing is written over, and SQLite would read the log of another journal into the copy.
fn refuse_what_is_there(file: &Path) -> Result<(), CopyError> {
    let beside = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    match ["", "-wal", "-shm", "-journal"]
        .map(beside)
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok())
    {
        Some(path) => Err(CopyError::Exists { path }),
        None => Ok(()),
    }
}

/// The new journal while it is made.
#[derive(Debug)]
pub(crate) struct Target {
    conn: Connection,
    file: PathBuf,
    partial: PathBuf,
    known: HashSet<(&'static str, i64)>,
    is_whole: bool,
}

impl Target {
    /// Begins one; nothing stands at its place before [`Target::finish`].
    pub(crate) fn create(file: PathBuf) -> Result<Self, CopyError> {
        refuse_what_is_there(&file)?;
        let folder = folder::of(&file);
        folder::make_folder(folder).map_err(|error| CopyError::target(folder, &error))?;
        let partial = file.with_extension("partial");
        let failed = |error: &dyn std::error::Error| CopyError::target(&partial, error);
        // A file that an earlier copy left behind would be taken for this one.
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
        // Bodies and signatures of refusals are for nobody else on this machine, wherever the copy is.
        folder::make_file(&partial).map_err(|error| failed(&error))?;
        let conn = Connection::open(&partial).map_err(|error| failed(&error))?;
        let target = Self { conn, file, partial, known: HashSet::new(), is_whole: false };
        target.prepare().map_err(|error| target.failed(&error))?;
        Ok(target)
    }

    /// It is synced once, at its end; until then it is worth nothing.
    fn prepare(&self) -> rusqlite::Result<()> {
        self.conn.execute_batch(
            "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = OFF;
             PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; BEGIN;",
        )?;
        self.conn.set_prepared_statement_cache_capacity(32);
        schema::create(&self.conn)?;
        schema::note_opening(&self.conn)?;
        self.conn.execute("INSERT INTO meta (key, value) VALUES ('clean', 1)", [])?;
        Ok(())
    }

    pub(crate) fn failed(&self, error: &rusqlite::Error) -> CopyError {
        CopyError::target(&self.partial, error)
    }

    /// Writes a row; says whether the table takes it.
    pub(crate) fn put(&self, table: &Table, values: &[Value]) -> rusqlite::Result<bool> {
        let insert = self.conn.prepare_cached(&table.insert())?.execute(params_from_iter(values));
        match insert {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes a row that others name by its number, once; says whether it still has to be written.
    pub(crate) fn is_new(&mut self, table: &Table, number: i64) -> bool {
        self.known.insert((table.name, number))
    }

    /// The event that has the id.
    pub(crate) fn event_with(&self, id: &[u8]) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.conn.prepare_cached("SELECT seq FROM event_ids WHERE id = ?1")?;
        statement.query_row([id], |row| row.get(0)).optional()
    }

    /// The word with that number.
    pub(crate) fn word(&self, number: i64) -> rusqlite::Result<Option<String>> {
        let mut statement = self.conn.prepare_cached("SELECT text FROM words WHERE id = ?1")?;
        statement.query_row([number], |row| row.get(0)).optional()
    }

    /// The number of a word; a new one has none that a word which was lost may have had.
    pub(crate) fn number_of_word(&mut self, text: &str) -> rusqlite::Result<i64> {
        let sql =
            "INSERT OR IGNORE INTO words (id, text) SELECT MAX(COALESCE(MAX(id), 0), ?2) + 1, ?1 FROM words";
        self.conn.execute(sql, params![text, MOST_NAMES])?;
        let number = self.conn.query_row("SELECT id FROM words WHERE text = ?1", [text], |row| row.get(0))?;
        self.known.insert((WORDS.name, number));
        Ok(number)
    }

    /// Whether an event with that number was copied.
    pub(crate) fn has_event(&self, seq: i64) -> rusqlite::Result<bool> {
        self.conn.prepare_cached("SELECT 1 FROM events WHERE seq = ?1")?.exists([seq])
    }

    /// How many deliveries to each sink were copied.
    pub(crate) fn deliveries(&self) -> rusqlite::Result<HashMap<i64, i64>> {
        let mut statement = self.conn.prepare("SELECT sink, COUNT(*) FROM deliveries GROUP BY sink")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Whether that delivery was copied.
    pub(crate) fn has_delivery(&self, id: i64) -> rusqlite::Result<bool> {
        self.conn.prepare_cached("SELECT 1 FROM deliveries WHERE id = ?1")?.exists([id])
    }

    /// Whether the number names a row that was copied.
    pub(crate) fn knows(&self, table: &Table, number: i64) -> bool {
        self.known.contains(&(table.name, number))
    }

    /// Notes the id of an event.
    pub(crate) fn put_id(&self, id: &[u8], seq: i64) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT INTO event_ids (id, seq) VALUES (?1, ?2)")?
            .execute(params![id, seq])?;
        Ok(())
    }

    /// Which sinks are paused; their rows are there.
    pub(crate) fn take_over_pauses(&self, pauses: &[(i64, i64, Option<String>)]) -> rusqlite::Result<()> {
        for (sink, at, reason) in pauses {
            let sql = "UPDATE sinks SET paused_at = ?2, pause_reason = ?3 WHERE id = ?1";
            self.conn.execute(sql, params![sink, at, reason])?;
        }
        Ok(())
    }

    /// What the old journal counted and no recount can tell.
    pub(crate) fn take_over(&self, duplicates: i64, last_seq: i64, openings: i64) -> rusqlite::Result<()> {
        self.conn.execute("UPDATE totals SET duplicates = ?1", [duplicates])?;
        self.conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('last_seq', ?1)", [last_seq])?;
        self.conn.execute("UPDATE meta SET value = ?1 WHERE key = 'openings'", [openings])?;
        Ok(())
    }

    /// Counts, syncs, and puts it in its place, unless something has come there meanwhile.
    pub(crate) fn finish(mut self) -> Result<PathBuf, CopyError> {
        self.count().map_err(|error| self.failed(&error))?;
        let conn = std::mem::replace(
            &mut self.conn,
            Connection::open_in_memory().map_err(|error| CopyError::target(&self.partial, &error))?,
        );
        conn.close().map_err(|(_, error)| self.failed(&error))?;
        refuse_what_is_there(&self.file)?;
        let placed = File::open(&self.partial).and_then(|file| file.sync_all()).and_then(|()| self.place());
        match placed {
            Ok(()) => {
                self.is_whole = true;
                Ok(self.file.clone())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(CopyError::Exists { path: self.file.clone() })
            }
            Err(error) => Err(CopyError::target(&self.file, &error)),
        }
    }

    fn count(&self) -> rusqlite::Result<()> {
        self.conn.execute_batch(
            "INSERT INTO meta (key, value) SELECT 'ids_folded_to', MAX(seq) FROM events HAVING COUNT(*) > 0;
             INSERT INTO refusal_shares (cause, address, bytes)
                 SELECT cause, address, SUM(bytes) FROM refusals GROUP BY cause, address;
             UPDATE totals SET events = (SELECT COUNT(*) FROM events),
                 unrouted = (SELECT COUNT(*) FROM events WHERE state = 1),
                 unreadable = (SELECT COUNT(*) FROM events WHERE state = 2),
                 refusals = (SELECT COUNT(*) FROM refusals),
                 refusal_bytes = (SELECT COALESCE(SUM(bytes), 0) FROM refusals);
             DELETE FROM traces WHERE event NOT IN (SELECT seq FROM events);
             UPDATE sinks SET pending = c.pending, dead_letters = c.dead, delivered = c.delivered FROM (
                 SELECT sink, SUM(state < 2) AS pending, SUM(state = 3) AS dead, SUM(state = 2) AS delivered
                 FROM deliveries GROUP BY sink) AS c WHERE c.sink = sinks.id;
             COMMIT;",
        )
    }

    fn place(&self) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let moved = renameat_with(CWD, &self.partial, CWD, &self.file, RenameFlags::NOREPLACE);
        match moved {
            Ok(()) => {}
            // Not every file system knows how to leave what is there alone.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !self.file.exists() => {
                std::fs::rename(&self.partial, &self.file)?;
            }
            Err(error) => return Err(error.into()),
        }
        folder::sync(folder::of(&self.file))
    }
}

impl Drop for Target {
    /// What is not whole is of no use to anybody.
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
