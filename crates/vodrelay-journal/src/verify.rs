//! Looking whether a journal is whole, beside a running relay or without one, and without changing a byte.
//!
//! A reader that stays long in one transaction keeps the log from starting anew. So beside a running relay everything
//! is read a page at a time, and what can only be told in one transaction is given up after two seconds, and said so.

mod counts;
mod events;
mod structure;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;

use crate::error::OpenError;
use crate::lock;
use crate::log;
use crate::open::LOG;
use crate::reader;
use crate::storage::Storage;

/// What one transaction may take while a relay writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that is not as the relay wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// What was found, and where.
    pub what: String,
}

/// Kinds of findings, by what can be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// The file's pages do not hang together, or do not read.
    Structure,
    /// A body is not the one that was accepted.
    Body,
    /// A row names another one that is not there, or says what cannot be.
    Row,
    /// An event cannot be found by its id, so that its duplicates would be delivered as new.
    Id,
    /// A counter is not what a recount says.
    Counter,
}

impl FindingKind {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Body => "body",
            Self::Row => "row",
            Self::Id => "id",
            Self::Counter => "counter",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn mend(self) -> &'static str {
        match self {
            Self::Structure => {
                "stop the relay, keep a copy of the folder, then restore a backup or run `vodrelay journal salvage`"
            }
            Self::Body => {
                "it is never delivered, its deliveries become dead letters \"corrupt\"; ask the provider for the media's state, and look at the disk"
            }
            Self::Row => {
                "the relay makes dead letters \"corrupt\" of deliveries that do not read; `vodrelay journal salvage` makes a journal without such rows"
            }
            Self::Id => {
                "nothing is lost, a duplicate may be delivered as new; `vodrelay journal salvage` finds the ids anew"
            }
            Self::Counter => "nothing is lost, figures are wrong; `vodrelay journal salvage` counts anew",
        }
    }
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Events, each with its body.
    pub events: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// How many findings there were.
    pub findings: u64,
    /// What was left out: it would have held up the running relay, or the log is damaged.
    pub left_out: Vec<String>,
}

/// How far a verification is, for people who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events that were looked at.
    pub events: u64,
    /// How many there are, by the journal's own counter.
    pub of: u64,
}

/// Hears of findings and of progress.
pub trait Listener {
    /// Something is wrong.
    fn found(&mut self, finding: Finding);
    /// It goes on.
    fn progress(&mut self, progress: Progress);
}

/// Looks at everything in the journal of that folder.
///
/// # Errors
/// If there is no journal, or it cannot be opened at all, or only a later version can.
pub fn verify(folder: &Path, listener: &mut dyn Listener) -> Result<Verified, OpenError> {
    verify_on(folder, listener, &Storage::default())
}

pub(crate) fn verify_on(
    folder: &Path,
    listener: &mut dyn Listener,
    storage: &Storage,
) -> Result<Verified, OpenError> {
    let is_running = lock::is_open(folder);
    // A relay that has it open, perhaps since just now, has looked at it, and is writing to it.
    if !is_running
        && let Ok(Some(cause)) = log::damage(&folder.join(LOG))
        && !lock::is_open(folder)
    {
        let kind = FindingKind::Structure;
        listener.found(Finding { kind, what: format!("the log {LOG}: {cause}") });
        // SQLite would read up to the damage, and lose what shows it.
        let left_out = vec![
            "all else: it is read by `vodrelay journal salvage`, which tells what does not read".to_owned(),
        ];
        return Ok(Verified { findings: 1, left_out, ..Verified::default() });
    }
    let conn = reader::connect(folder, storage)?;
    let mut look = Look { conn, is_running, listener, verified: Verified::default() };
    let steps: [(&str, Step); 5] = [
        ("the structure of the file", structure::check),
        ("the events", events::check),
        ("the deliveries", events::check_deliveries),
        ("the ids", events::check_ids),
        ("the counters", counts::check),
    ];
    for (name, step) in steps {
        if let Err(error) = step(&mut look) {
            look.gave_up(name, &error);
        }
    }
    Ok(look.verified)
}

/// One part of a verification.
type Step = fn(&mut Look<'_>) -> rusqlite::Result<()>;

/// A verification under way.
struct Look<'a> {
    conn: Connection,
    is_running: bool,
    listener: &'a mut dyn Listener,
    verified: Verified,
}

impl Look<'_> {
    fn found(&mut self, kind: FindingKind, what: impl Into<String>) {
        self.verified.findings += 1;
        self.listener.found(Finding { kind, what: what.into() });
    }

    /// Runs what must be told in one transaction: to its end, or, while a relay writes, for two seconds.
    fn within_patience<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if self.is_running {
            let deadline = Instant::now() + PATIENCE;
            self.conn.progress_handler(1_000, Some(move || Instant::now() > deadline))?;
        }
        let done = work(self);
        self.conn.progress_handler(0, None::<fn() -> bool>)?;
        done
    }

    /// A step came to no end: the relay was not to be held up, or the file does not read.
    fn gave_up(&mut self, name: &str, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
            self.verified.left_out.push(format!(
                "{name}: it would hold up the running relay; stop it, or verify a backup, to have all looked at"
            ));
            return;
        }
        self.found(FindingKind::Structure, format!("{name} cannot be read to the end: {error}"));
    }
}
