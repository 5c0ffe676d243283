//! Doing something to a journal: by the relay that holds it, or, where none runs, in the journal itself.

use std::sync::Arc;

use vodrelay_core::{JournalError, SystemClock};
use vodrelay_journal::{OpenError, Reader, RefusedBounds, SqliteJournal};

use super::ask::{RunningRelay, Target};
use super::journal::there_is_one;
use super::serve::code_of_journal;
use crate::config::{Config, Loaded};
use crate::exit::{Code, Failure};

/// By whom it is done.
pub(crate) enum Door {
    Relay(RunningRelay),
    Journal(Place),
}

/// A journal that nobody holds. It is not opened before all is asked and nothing is to be refused: meanwhile a relay
/// could not start, and one that is opened and left is not closed cleanly.
pub(crate) struct Place(Box<Loaded>);

impl Door {
    pub(crate) fn find(target: &Target) -> Result<Self, Failure> {
        if target.names_a_relay() {
            return Ok(Self::Relay(target.relay()?));
        }
        let loaded = target.load()?;
        let data_dir = &loaded.data_dir;
        there_is_one(data_dir, " yet")?;
        if vodrelay_journal::is_held(data_dir) {
            return Ok(Self::Relay(target.relay()?));
        }
        Ok(Self::Journal(Place(Box::new(loaded))))
    }
}

impl Place {
    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// The journal for reading, without opening it.
    pub(crate) fn reader(&self) -> Result<Reader, Failure> {
        Reader::open(&self.0.data_dir).map_err(|error| not_opened(&error))
    }

    pub(crate) fn open(&self) -> Result<SqliteJournal, Failure> {
        let Loaded { config, data_dir, .. } = &*self.0;
        let bounds = RefusedBounds { keep: config.http.refused.keep, max_age: config.http.refused.max_age };
        SqliteJournal::open(data_dir, config.journal, bounds, Arc::new(SystemClock)).map_err(|error| {
            match error {
                OpenError::HeldBy { .. } => Failure::new(
                    code_of_journal(&error),
                    "a relay has started meanwhile; run it again, and it does it",
                ),
                error => not_opened(&error),
            }
        })
    }
}

fn not_opened(error: &OpenError) -> Failure {
    Failure::new(code_of_journal(error), error.to_string())
}

/// Closes it, whatever was done.
pub(crate) async fn close<T>(journal: SqliteJournal, done: Result<T, Failure>) -> Result<T, Failure> {
    let closed = journal.close().await.map_err(|error| failed(&error));
    done.and_then(|done| closed.map(|()| done))
}

pub(crate) fn failed(error: &JournalError) -> Failure {
    let code = match error {
        JournalError::Invalid(_) => Code::Usage,
        JournalError::Poisoned(_) => Code::Poisoned,
        _ => Code::Internal,
    };
    Failure::new(code, error.to_string())
}
