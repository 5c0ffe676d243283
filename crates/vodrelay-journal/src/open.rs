//! Opening: lock, look, create or take over, then start the two threads.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use vodrelay_core::Clock;

use crate::checkpoint::Checkpoints;
use crate::claim::Claimant;
use crate::config::{Config, RefusedBounds};
use crate::dues::Dues;
use crate::erase;
use crate::error::OpenError;
use crate::files::Files;
use crate::first_look;
use crate::folder;
use crate::heart::{self, Heart};
use crate::ids::Ids;
use crate::in_hand;
use crate::jobs;
use crate::key::{nanos, nanos_of};
use crate::lease::Leases;
use crate::lock::Lock;
use crate::log;
use crate::meter::Meter;
use crate::op::WriterQueue;
use crate::reader::Reader;
use crate::refused::Refusals;
use crate::retention::Retention;
use crate::schema::{self, Found};
use crate::shared::{Care, Shared};
use crate::sinks;
use crate::space::Space;
use crate::storage::Storage;
use crate::writer::{Batch, Names, Writer};

/// The file in the journal's folder.
pub const FILE: &str = "journal.sqlite3";
/// Its write-ahead log, beside it.
pub const LOG: &str = "journal.sqlite3-wal";
/// The index of that log, which the processes share that have the journal open.
pub(crate) const INDEX: &str = "journal.sqlite3-shm";
/// How long a connection waits for another one's lock, by default.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The two threads and the ways to them.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: WriterQueue,
    pub(crate) claims: mpsc::Sender<crate::claim::Request>,
    pub(crate) threads: Vec<thread::JoinHandle<()>>,
    #[cfg(test)]
    pub(crate) fail_next_commit: Arc<std::sync::Mutex<Option<rusqlite::Error>>>,
}

/// What the opening found out.
struct Opened {
    openings: i64,
    unclean: bool,
    heart: Heart,
    dues: Dues,
}

/// Opens the journal in that folder, which is made if it is not there.
pub(crate) fn open(
    folder: &Path,
    config: &Config,
    bounds: RefusedBounds,
    clock: Arc<dyn Clock>,
    storage: &Storage,
) -> Result<(Running, Reader), OpenError> {
    let (now, steady) = (clock.now(), nanos_of(clock.steady()));
    let made = folder::make(folder, &*storage.sync_folder);
    made.map_err(|error| OpenError::from_io(folder, &error))?;
    let is_gone = first_look::is_gone(folder);
    let mut lock = Lock::take(folder, now)?;
    let file = folder.join(FILE);
    let sqlite = |error: rusqlite::Error| OpenError::from_sqlite(&file, &error);
    first_look::refuse_lone_log(folder)?;
    look_at_log(&folder.join(LOG))?;
    log::move_again(&folder.join(LOG), &file, storage).map_err(|error| OpenError::from_io(&file, &error))?;
    if is_gone {
        tracing::error!(
            journal.path = %file.display(),
            "a relay has had a journal here, and it is gone; a new one begins, which knows nothing of what was accepted before"
        );
    }
    let mut conn = storage.connect(&file, OpenFlags::default()).map_err(sqlite)?;
    let opened = prepare(folder, &mut conn, storage, (nanos(now), steady))?;
    lock.tell_open(folder)?;
    // A new file is there after a power cut only if its folder was synced too.
    (storage.sync_folder)(folder).map_err(|error| OpenError::from_io(folder, &error))?;

    let care = opened.unclean.then(|| Care::beginning(steady));
    if care.is_some() {
        tracing::warn!(
            "the relay before this one ended without a clean stop; nothing is lost, and for a minute each sink gets one \
             delivery at a time, so that one which brings the relay down is found out"
        );
    }
    let leases = Leases::starting_at(opened.openings);
    let shared = Arc::new(Shared::new(folder.to_owned(), clock, leases, care));
    shared.pauses.send_replace(sinks::pauses(&conn).map_err(sqlite)?);
    let (sender, queue) = mpsc::channel();
    let writer = WriterQueue::new(sender);
    let (claims, requests) = mpsc::channel();
    #[cfg(test)]
    let fail_next_commit = Arc::default();
    let claimant = Claimant {
        conn: connect_to_read(&file, storage).map_err(sqlite)?,
        shared: Arc::clone(&shared),
        writer: writer.clone(),
        requests,
        sources: HashMap::new(),
        labels: HashMap::new(),
        doubted: HashMap::new(),
    };
    let mut checkpoints = Checkpoints::watch(&mut conn, storage.checkpoint_at).map_err(sqlite)?;
    if erase::has_erased(&conn).map_err(sqlite)? {
        checkpoints.empty_log_soon();
    }
    let names = Names::load(&conn).map_err(sqlite)?;
    let ids = Ids::load(&conn).map_err(sqlite)?;
    let refusals = Refusals::load(&conn, bounds).map_err(sqlite)?;
    let the_writer = Writer {
        conn,
        shared: Arc::clone(&shared),
        queue,
        names,
        ids,
        checkpoints,
        space: Space::new(config.min_free.0, Arc::clone(&storage.free_bytes)),
        files: Files::of(folder).map_err(|error| OpenError::from_io(folder, &error))?,
        storage: storage.clone(),
        has_leftovers: false,
        retention: Retention::new(config),
        refusals,
        heart: opened.heart,
        dues: opened.dues,
        meter: Meter::new(),
        #[cfg(test)]
        fail_next_commit: Arc::clone(&fail_next_commit),
    };
    // The last thing that can fail before there are threads, which would keep the lock for a moment longer.
    let reader = Reader::open_on(folder, storage)?;
    let threads = vec![
        spawn(folder, "journal-claims", &shared, move || claimant.run())?,
        spawn(folder, "journal-writer", &shared, move || {
            // The last to leave gives the lock back.
            let _lock = lock;
            the_writer.run();
        })?,
    ];
    let running = Running {
        shared,
        writer,
        claims,
        threads,
        #[cfg(test)]
        fail_next_commit,
    };
    Ok((running, reader))
}

/// A thread whose panic is told to everybody: nothing would answer any more.
fn spawn(
    folder: &Path,
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, OpenError> {
    let (shared, thread_name) = (Arc::clone(shared), name.to_owned());
    let guarded = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            shared.poison_with(&format!("the thread {thread_name} panicked; please report it"));
        }
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(guarded)
        .map_err(|error| OpenError::from_io(folder, &error))
}

fn prepare(
    folder: &Path,
    conn: &mut Connection,
    storage: &Storage,
    now: (i64, i64),
) -> Result<Opened, OpenError> {
    let file = folder.join(FILE);
    let sqlite = |error: rusqlite::Error| OpenError::from_sqlite(&file, &error);
    conn.busy_timeout(BUSY_WAIT).map_err(sqlite)?;
    let found = schema::look(conn).map_err(sqlite)?;
    match found {
        Found::Empty | Found::Journal => {}
        Found::Newer { found, written_by } => {
            return Err(OpenError::NewerSchema {
                path: folder.to_owned(),
                found,
                known: schema::VERSION,
                written_by,
            });
        }
        Found::Foreign => {
            return Err(OpenError::NotAJournal {
                path: file,
                cause: "it is another program's database".to_owned(),
            });
        }
    }
    if let (Found::Journal, Some(cause)) = (&found, schema::damage(conn).map_err(sqlite)?) {
        return Err(OpenError::Corrupt { path: file, cause });
    }
    if found == Found::Empty {
        // The file has to be there before its log is: a log alone is taken for one that has lost its file.
        (storage.sync_folder)(folder).map_err(|error| OpenError::from_io(folder, &error))?;
    }
    set_up(conn, found == Found::Empty).map_err(sqlite)?;
    let counted = log::frames_counted(conn).map_err(sqlite)?;
    conn.execute_batch("BEGIN IMMEDIATE").map_err(sqlite)?;
    make_log_durable(&folder.join(LOG), counted, storage)?;
    take_over(conn, found == Found::Empty, now).map_err(sqlite)
}

/// SQLite would drop what stands behind damage.
pub(crate) fn look_at_log(path: &Path) -> Result<(), OpenError> {
    match log::damage(path).map_err(|error| OpenError::from_io(path, &error))? {
        Some(cause) => Err(OpenError::Corrupt { path: path.to_owned(), cause }),
        None => Ok(()),
    }
}

/// After a sync that failed, the kernel may hold pages of the log that never reached the disk and count as clean: they
/// read well, and no later sync writes them. With the next power cut all that was written behind such a hole would be
/// lost, and a file into which commits from behind it were half moved would be damaged. So before anything is written
/// or moved, the whole log is written anew. Nobody else writes to it meanwhile: the transaction has begun.
fn make_log_durable(log: &Path, counted: u64, storage: &Storage) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::from_io(log, &error);
    if std::fs::metadata(log).map_or(true, |found| found.len() == 0) {
        return Ok(());
    }
    if !log::end_with_counted(log, counted, storage).map_err(failed)? {
        // It counts because somebody who still has the journal open has read it.
        let cause = "its last commit is not what it was when another process read it".to_owned();
        return Err(OpenError::Corrupt { path: log.to_owned(), cause });
    }
    (storage.write_anew)(log).map_err(failed)
}

/// Settings that live in the file are made before the first table is.
fn set_up(conn: &Connection, empty: bool) -> rusqlite::Result<()> {
    if empty {
        conn.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;
         PRAGMA cache_size = -8192;",
    )?;
    erase::as_usual(conn)?;
    // A poisoned journal must not be synced again, and closing is no exception.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Notes in the transaction that has begun that the journal is in use, and ends it.
fn take_over(conn: &Connection, empty: bool, (now, steady): (i64, i64)) -> rusqlite::Result<Opened> {
    if empty {
        schema::create(conn)?;
    } else {
        schema::migrate(conn)?;
    }
    let openings = schema::note_opening(conn)?;
    let mut batch = Batch { now, ..Batch::default() };
    let unclean = in_hand::take_over(conn, &mut batch)?;
    batch.counters.flush(conn)?;
    jobs::take_over(conn)?;
    let mut dues = Dues::load(conn)?;
    if let Some(back_by) = heart::set_back_since_last_beat(conn, now)? {
        dues.set_back(conn, back_by)?;
    }
    let heart = Heart::start(conn, now, steady)?;
    conn.execute_batch("COMMIT")?;
    Ok(Opened { openings, unclean, heart, dues })
}

/// A connection that cannot write.
pub(crate) fn connect_to_read(file: &Path, storage: &Storage) -> rusqlite::Result<Connection> {
    let conn = storage.connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}
