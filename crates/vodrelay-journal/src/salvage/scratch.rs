//! The damaged journal as a copy of its own, in one file, which may be changed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{LossKind, Salvage};
use crate::copy::{ATTEMPTS, CopyError, DELIVERIES, EVENTS, REFUSALS, SINKS, SOURCES, WORDS};
use crate::error::OpenError;
use crate::lock;
use crate::log::{self, Lost};
use crate::open::{FILE, INDEX, LOG};
use crate::schema::{self, Found};

const PAGE: usize = 4_096;
/// A number beyond comes from a bit that flipped rather than from that many rows; searching for them would take days.
const MOST_BELIEVED: i64 = 1 << 30;
/// So many keys are searched for where nothing is said.
const FEW: i64 = 1 << 12;

/// Removed when it is dropped.
pub(super) struct Scratch {
    pub(super) conn: Connection,
    folder: PathBuf,
}

impl Scratch {
    /// Copies file and log, puts the log into the file, and opens it.
    pub(super) fn copy(from: &Path, to: &Path, salvage: &mut Salvage<'_>) -> Result<Self, CopyError> {
        let folder = to.join("salvage.partial");
        let failed = |error: io::Error| CopyError::target(&folder, &error);
        // One of an earlier salvage that was ended.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).map_err(failed)?;
        // Dropped on every way out, and the folder with it.
        let mut scratch = Self {
            conn: Connection::open_in_memory().map_err(|error| salvage.target.failed(&error))?,
            folder: folder.clone(),
        };
        // Under another name than the copy's log would have, so that SQLite does not take it for that.
        let (main, log, index) = (folder.join("journal"), folder.join("old-wal"), folder.join("old-shm"));
        // The lock's note says of an index what it is worth.
        let note = folder.join(lock::NAME);
        for (source, copy) in [(FILE, &main), (LOG, &log), (INDEX, &index), (lock::NAME, &note)] {
            let source = from.join(source);
            for offset in copy_blocks(&source, copy).map_err(failed)? {
                salvage.tell(LossKind::Lost, format!("{} does not read at byte {offset}", source.display()));
            }
        }
        salvage.put_log_into_file(&log, &main).map_err(failed)?;
        scratch.conn = open(&main, &folder, from, salvage)?;
        Ok(scratch)
    }

    /// Up to where there may be events, as other tables tell.
    pub(super) fn expected_seq(&self) -> i64 {
        self.largest(&[
            "SELECT MAX(id) >> 12 FROM deliveries",
            "SELECT MAX(seq) FROM event_ids",
            "SELECT value FROM meta WHERE key = 'last_seq'",
            "SELECT MAX(seq) FROM events",
        ])
    }

    /// The number of the event with that id, as the table of ids has it.
    pub(super) fn seq_of(&self, id: &[u8]) -> Option<i64> {
        self.conn.query_row("SELECT seq FROM event_ids WHERE id = ?1", [id], |row| row.get(0)).ok()
    }

    /// Whether a search finds an event with that number.
    pub(super) fn has_event(&self, seq: i64) -> bool {
        self.conn.query_row("SELECT 1 FROM events WHERE seq = ?1", [seq], |_| Ok(())).is_ok()
    }

    /// Up to where there may be refusals.
    pub(super) fn expected_refusal(&self) -> i64 {
        self.largest(&[
            "SELECT MAX(id) FROM refusals",
            "SELECT MAX(id) FROM refusals INDEXED BY refusals_by_share",
            "SELECT refusals FROM totals",
        ])
    }

    /// The largest answer that can be believed.
    pub(super) fn largest(&self, questions: &[&str]) -> i64 {
        let ask =
            |sql: &&str| self.conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten();
        let believed = questions.iter().filter_map(ask).filter(|answer| (0..MOST_BELIEVED).contains(answer));
        believed.max().unwrap_or(FEW)
    }

    pub(super) fn meta(&self, key: &str) -> i64 {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        self.conn.query_row(sql, [key], |row| row.get(0)).unwrap_or(0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Salvage<'_> {
    fn put_log_into_file(&mut self, log: &Path, main: &Path) -> io::Result<()> {
        if let Some(cause) = log::damage(log)? {
            self.tell(LossKind::Mended, format!("the log: {cause}; what reads of it is read all the same"));
        }
        let Lost { damaged, missing, unproven } = log::apply(log, main)?;
        for number in damaged {
            let what = "is damaged: rows of its page may be missing, or be as they were before";
            self.tell(LossKind::Lost, format!("frame {number} of the log {what}"));
        }
        if missing > 0 {
            let what = "are missing at the end of the log: what was written last may be missing";
            self.tell(LossKind::Lost, format!("frames {what} ({missing})"));
        }
        if unproven > 0 {
            let what =
                "at the end of the log are damaged, and left out: nothing says that they were acknowledged";
            self.tell(LossKind::Lost, format!("frames {what} ({unproven})"));
        }
        Ok(())
    }
}

/// Copies what reads; returns the offsets of what does not, where zeros stand.
fn copy_blocks(from: &Path, to: &Path) -> io::Result<Vec<u64>> {
    let source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (target, length) = (File::create_new(to)?, source.metadata()?.len());
    let (mut lost, mut block) = (Vec::new(), vec![0; PAGE]);
    for offset in (0..length).step_by(PAGE) {
        match source.read_at(&mut block, offset) {
            Ok(read) => target.write_all_at(block.get(..read).unwrap_or_default(), offset)?,
            Err(_) => lost.push(offset),
        }
    }
    target.set_len(length)?;
    Ok(lost)
}

/// Opens the copy. Where its first page or its schema does not read, those of a new journal take their place: each
/// journal that began with this schema has its tables at the same pages.
fn open(
    main: &Path,
    folder: &Path,
    source: &Path,
    salvage: &mut Salvage<'_>,
) -> Result<Connection, CopyError> {
    if let Ok((conn, found)) = look(main) {
        match found {
            Some(Found::Newer { found, written_by }) => {
                let (path, known) = (source.to_owned(), schema::VERSION);
                return Err(OpenError::NewerSchema { path, found, known, written_by }.into());
            }
            _ if has_tables(&conn) => return Ok(conn),
            _ => {}
        }
    }
    transplant(main, &folder.join("new")).map_err(|error| salvage.target.failed(&error))?;
    let opened = look(main).ok().filter(|(conn, _)| has_tables(conn));
    let Some((conn, _)) = opened else {
        let cause = "not even its tables are to be found".to_owned();
        return Err(OpenError::NotAJournal { path: source.join(FILE), cause }.into());
    };
    salvage.tell(
        LossKind::Mended,
        "the first page or the schema did not read; those of a new journal took its place",
    );
    Ok(conn)
}

/// Opens the file, and says what it is, as far as it can be told.
fn look(main: &Path) -> rusqlite::Result<(Connection, Option<Found>)> {
    let conn = Connection::open(main)?;
    // Without the check of cells more of a damaged page reads; bodies have their digests.
    conn.execute_batch("PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;")?;
    let found = schema::look(&conn).ok();
    Ok((conn, found))
}

/// Whether the schema still names each table with its columns; one letter of it that flipped would cost a whole table.
fn has_tables(conn: &Connection) -> bool {
    let tables = [&WORDS, &SINKS, &EVENTS, &SOURCES, &DELIVERIES, &ATTEMPTS, &REFUSALS];
    let figures = ["SELECT duplicates FROM totals", "SELECT key, value FROM meta"].map(str::to_owned);
    tables.iter().map(|table| table.select("")).chain(figures).all(|sql| conn.prepare(&sql).is_ok())
}

fn transplant(main: &Path, new: &Path) -> rusqlite::Result<()> {
    let conn = Connection::open(new)?;
    conn.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    schema::create(&conn)?;
    let roots: BTreeSet<u64> = conn
        .prepare("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    conn.close().map_err(|(_, error)| error)?;
    let copied = (|| {
        let (file, new) = (File::options().read(true).write(true).open(main)?, std::fs::read(new)?);
        let pages = u32::try_from(file.metadata()?.len() / PAGE as u64).unwrap_or(u32::MAX);
        for (number, page) in (1_u64..).zip(new.chunks_exact(PAGE)) {
            // The second page is SQLite's map of the others.
            if number == 2 || roots.contains(&number) {
                continue;
            }
            let mut page = page.to_owned();
            if number == 1 {
                page.get_mut(28..32)
                    .into_iter()
                    .for_each(|place| place.copy_from_slice(&pages.to_be_bytes()));
            }
            file.write_all_at(&page, (number - 1) * PAGE as u64)?;
        }
        Ok(())
    })();
    copied.map_err(|error: io::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
