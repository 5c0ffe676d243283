//! A journal whose log is looked at, with events of any length.

use std::path::PathBuf;

use tokio::runtime::Runtime;
use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Appended, Journal, JournalError};
use vodrelay_fault_vfs::{Fault, File, How, Operation};

use super::rig::Rig;
use crate::SqliteJournal;
use crate::open::INDEX;

pub(super) const FRAME: usize = 24 + 4_096;

pub(super) struct Stage {
    pub(super) rig: Rig,
    pub(super) runtime: Runtime,
    pub(super) acknowledged: Vec<[u8; 16]>,
}

impl Stage {
    pub(super) fn set() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { rig: Rig::new(), runtime, acknowledged: Vec::new() }
    }

    /// With so many events in a journal that was killed, each body one byte longer than the one before.
    pub(super) fn killed(events: usize, length: usize) -> Self {
        let mut stage = Self::set();
        let journal = stage.rig.open().unwrap();
        for number in 0..events {
            stage.append(&journal, length + number).unwrap();
        }
        stage
    }

    /// Appends an event whose body has so many bytes, each another one.
    pub(super) fn append(
        &mut self,
        journal: &SqliteJournal,
        length: usize,
    ) -> Result<Appended, JournalError> {
        let event = envelope_of(vec![b'x'; length].into(), jiff::Timestamp::UNIX_EPOCH);
        let answer = self.runtime.block_on(journal.append(&event, &[]));
        self.acknowledged.extend(answer.is_ok().then(|| *event.id.as_bytes()));
        answer
    }

    /// The disk has no room for the log from so many writes on.
    pub(super) fn fill_disk(&self, after: u64) {
        let full = Fault::once(Operation::Write, How::Full);
        self.rig.disk.fail(Fault { after, times: u64::MAX, file: File::Log, ..full });
    }

    pub(super) fn index(&self) -> PathBuf {
        self.rig.folder.path().join(INDEX)
    }

    /// What an opening says that is refused.
    pub(super) fn refused(&self) -> String {
        self.rig.open().map(drop).unwrap_err().to_string()
    }

    /// How many of those that were acknowledged are not there.
    pub(super) fn missing(&self) -> usize {
        let conn = self.rig.connect();
        let is_there = |id: &[u8; 16]| {
            conn.query_row("SELECT 1 FROM events WHERE id = ?1", [id], |row| row.get::<_, i64>(0)).is_ok()
        };
        self.acknowledged.iter().filter(|id| !is_there(id)).count()
    }

    /// How many of them a salvage brings to light.
    pub(super) fn salvaged(&self) -> u64 {
        let to = tempfile::tempdir().unwrap();
        crate::salvage(self.rig.folder.path(), to.path(), &mut |_| {}).unwrap().events
    }
}
