//! Moving commits from the write-ahead log into the file.
//!
//! SQLite's own automatic checkpoint swallows its errors, and a failed one must poison the journal, so the writer runs
//! them itself, after it has answered.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB};

use crate::error::Fault;
use crate::lock;

/// Pages of 4 KiB in the log before the first checkpoint; see docs/JOURNAL.md for what was measured.
pub(crate) const PAGES: i64 = 2_000;
/// From here on the writer waits a little for readers, so that the log can start from its beginning again (40 MiB).
const MANY_PAGES: i64 = 10_000;
/// From here on it waits as long as a reader may take: the log stays under 64 MB.
const TOO_MANY_PAGES: i64 = 13_000;
const SHORT_WAIT: Duration = Duration::from_millis(50);
const LONG_WAIT: Duration = Duration::from_secs(4);

/// Knows how long the log is.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    pages: Arc<AtomicI64>,
    first_at: i64,
    next_at: i64,
    /// The log has what is to be nowhere.
    is_to_be_emptied: bool,
    /// What it has may not come into the file.
    is_held: bool,
}

impl Checkpoints {
    /// Watches the log of that connection.
    pub(crate) fn watch(conn: &mut Connection, first_at: i64) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI64::new(0));
        let gauge = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: i32| {
            gauge.store(i64::from(count), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, first_at, next_at: first_at, is_to_be_emptied: false, is_held: false })
    }

    pub(crate) fn run_when_due(&mut self, conn: &Connection, folder: &Path) -> Result<(), Fault> {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.is_held || pages < self.next_at && !self.is_to_be_emptied {
            return Ok(());
        }
        let (mode, wait) = match pages {
            TOO_MANY_PAGES.. => (CheckpointMode::RESTART, LONG_WAIT),
            MANY_PAGES.. => (CheckpointMode::RESTART, SHORT_WAIT),
            _ => (CheckpointMode::PASSIVE, Duration::ZERO),
        };
        let mode = if self.is_to_be_emptied { CheckpointMode::TRUNCATE } else { mode };
        let complete = checkpoint(conn, folder, mode, wait)?;
        // After a complete one the next commit starts the log anew; otherwise a reader is in the way for a while.
        self.next_at = if complete { self.first_at } else { pages + self.first_at / 4 };
        if complete {
            self.pages.store(0, Ordering::Relaxed);
            self.is_to_be_emptied = false;
        }
        Ok(())
    }

    /// Has the log moved and cut off as soon as no reader needs it.
    pub(crate) fn empty_log_soon(&mut self) {
        self.is_to_be_emptied = true;
    }

    /// Has nothing moved any more: the log is damaged, and a later start shall see that.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Moves all of it and gives the room back, as far as readers let it.
    pub(crate) fn finish(&mut self, conn: &Connection, folder: &Path) -> Result<(), Fault> {
        if self.is_held {
            return Ok(());
        }
        checkpoint(conn, folder, CheckpointMode::TRUNCATE, SHORT_WAIT)?;
        self.next_at = self.first_at;
        Ok(())
    }
}

/// Returns whether all of the log was moved.
fn checkpoint(conn: &Connection, folder: &Path, mode: CheckpointMode, wait: Duration) -> Result<bool, Fault> {
    if matches!(mode, CheckpointMode::TRUNCATE) {
        lock::note_emptied(folder).map_err(|error| Fault::from_io(lock::NAME, &error))?;
    }
    conn.busy_timeout(wait)?;
    let outcome = conn.wal_checkpoint_v2(Some(MAIN_DB), mode);
    conn.busy_timeout(crate::open::BUSY_WAIT)?;
    match outcome {
        Ok((pages, moved)) => Ok(pages == moved),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
