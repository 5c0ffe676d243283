//! What the handle, the writer and the claiming thread share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use vodrelay_core::{Clock, JournalError, Pauses, Seq};

use crate::error::Fault;
use crate::key::{self, nanos_of};
use crate::lease::Leases;

/// After an unclean stop, how long a delivery waits that was in hand at one crash, at two, three, and more in a row.
const WAITS: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8), Duration::from_secs(16)];
/// After an unclean stop deliveries are handed out one at a time for so long.
const CAREFUL_FOR: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) work: watch::Sender<Seq>,
    pub(crate) poison: watch::Sender<Option<String>>,
    /// As of the last commit.
    pub(crate) pauses: watch::Sender<Pauses>,
    /// After an unclean stop each sink gets one delivery at a time for a while.
    pub(crate) care: Option<Care>,
    leases: Mutex<Leases>,
    full: Mutex<Option<String>>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(folder: PathBuf, clock: Arc<dyn Clock>, leases: Leases, care: Option<Care>) -> Self {
        Self {
            folder,
            clock,
            work: watch::Sender::new(0),
            poison: watch::Sender::new(None),
            pauses: watch::Sender::default(),
            care,
            leases: Mutex::new(leases),
            full: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        key::nanos(self.clock.now())
    }

    /// How much time has passed in this process, whatever the clock on the wall says.
    pub(crate) fn steady(&self) -> i64 {
        nanos_of(self.clock.steady())
    }

    /// The leases. They hold together even if a thread panicked with them in hand: each change is one call.
    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn announce_work(&self) {
        self.work.send_modify(|seq| *seq += 1);
    }

    /// From now on nothing works any more.
    pub(crate) fn poison_with(&self, cause: &str) {
        let first = self.poison.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| cause.to_owned());
            first
        });
        if first {
            tracing::error!(journal.folder = %self.folder.display(), journal.cause = cause,
                "the journal is poisoned: nothing is accepted any more, the process has to be started again");
        }
    }

    /// Poisons the journal if the fault asks for it, and turns it into the caller's error.
    pub(crate) fn judge(&self, fault: &Fault) -> JournalError {
        if let Fault::Poison(cause) = fault {
            self.poison_with(cause);
        }
        fault.to_error()
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn check_poison(&self) -> Result<(), JournalError> {
        match &*self.poison.borrow() {
            Some(cause) => Err(JournalError::Poisoned(cause.clone())),
            None => Ok(()),
        }
    }

    /// Whether there is any use in asking.
    pub(crate) fn check_alive(&self) -> Result<(), JournalError> {
        self.check_poison()?;
        if self.closed.load(Ordering::Acquire) { Err(JournalError::Closed) } else { Ok(()) }
    }

    /// Why there is no room, if there is none.
    pub(crate) fn full(&self) -> Option<String> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether that changed anything.
    pub(crate) fn set_full(&self, full: Option<String>) -> bool {
        let mut known = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = known.is_some() != full.is_some();
        *known = full;
        changed
    }

    /// How deliveries are handed out with care, if they are.
    pub(crate) fn careful(&self, steady: i64) -> Option<Care> {
        self.care.filter(|care| steady < care.until())
    }
}

/// What the last life ended by is not known, so for a minute deliveries are handed out in a way that finds out whether one
/// of them brings the process down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Care {
    /// When this life began, by the steady clock.
    since: i64,
}

impl Care {
    pub(crate) fn beginning(since: i64) -> Self {
        Self { since }
    }

    pub(crate) fn until(self) -> i64 {
        self.since.saturating_add(nanos_of(CAREFUL_FOR))
    }

    /// How many crashes in a row, with it in hand, a delivery may have behind it to be handed out now. The life has to
    /// last twice as long for each, from 2 seconds to 16; others go first meanwhile. Where something else brings the
    /// process down again and again, it is not in hand then, and not counted.
    pub(crate) fn most_crashes(self, steady: i64) -> u32 {
        let waits = WAITS.iter().take_while(|wait| steady >= self.after(**wait)).count();
        if waits == WAITS.len() { u32::MAX } else { u32::try_from(waits).unwrap_or(u32::MAX) }
    }

    /// When next more is handed out than now.
    pub(crate) fn next_change(self, steady: i64) -> i64 {
        let changes = WAITS.iter().map(|wait| self.after(*wait));
        changes.into_iter().find(|change| steady < *change).unwrap_or(self.until())
    }

    fn after(self, wait: Duration) -> i64 {
        self.since.saturating_add(nanos_of(wait))
    }
}
