//! What the handle, the writer and the claiming thread share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use vodrelay_core::{Clock, JournalError, Pauses, Seq};

use crate::error::Fault;
use crate::key;
use crate::lease::Leases;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) work: watch::Sender<Seq>,
    pub(crate) poison: watch::Sender<Option<String>>,
    /// As of the last commit.
    pub(crate) pauses: watch::Sender<Pauses>,
    /// Until then, by the steady clock, each sink gets one delivery at a time; nothing after a clean stop.
    pub(crate) careful_until: Option<i64>,
    leases: Mutex<Leases>,
    full: Mutex<Option<String>>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        folder: PathBuf,
        clock: Arc<dyn Clock>,
        leases: Leases,
        careful_until: Option<i64>,
    ) -> Self {
        Self {
            folder,
            clock,
            work: watch::Sender::new(0),
            poison: watch::Sender::new(None),
            pauses: watch::Sender::default(),
            careful_until,
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
        key::nanos_of(self.clock.steady())
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

    /// Whether deliveries are handed out one at a time, and until when.
    pub(crate) fn careful(&self, steady: i64) -> Option<i64> {
        self.careful_until.filter(|until| steady < *until)
    }
}
