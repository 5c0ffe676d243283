//! A journal on a disk that fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use vodrelay_core::Clock;
use vodrelay_core::config::{ByteSize, Span};
use vodrelay_core::testing::ManualClock;
use vodrelay_fault_vfs::FaultyDisk;

use crate::storage::Storage;
use crate::{Config, Finding, Listener, OpenError, Progress, RefusedBounds, SqliteJournal, open, verify};

pub(super) struct Rig {
    pub(super) folder: TempDir,
    pub(super) disk: Arc<FaultyDisk>,
    pub(super) clock: Arc<ManualClock>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
        Self { folder, disk: Arc::new(FaultyDisk::new()), clock }
    }

    /// The disk, with a log that is moved into the file early, so that a short run sees it moved often.
    pub(super) fn storage(&self) -> Storage {
        let works = |disk: &FaultyDisk| match disk.is_dead() {
            true => Err(std::io::Error::other("the power has gone")),
            false => Ok(()),
        };
        let [folder, whole, end, pages] = [(); 4].map(|()| Arc::clone(&self.disk));
        let real = Storage::default();
        Storage {
            vfs: Some(self.disk.name().to_owned()),
            sync_folder: Arc::new(move |path| works(&folder).map(|()| folder.folder_synced(path))),
            write_anew: Arc::new(move |path| {
                works(&whole)?;
                (real.write_anew)(path)?;
                whole.written_anew(path);
                Ok(())
            }),
            cut_off: Arc::new(move |path, at| {
                works(&end)?;
                (real.cut_off)(path, at)?;
                end.cut_off(path, at);
                Ok(())
            }),
            copy_pages: Arc::new(move |from, to, places| {
                works(&pages)?;
                (real.copy_pages)(from, to, places)?;
                pages.pages_written(to, places.keys().copied());
                Ok(())
            }),
            checkpoint_at: 60,
            ..Storage::default()
        }
    }

    pub(super) fn open(&self) -> Result<SqliteJournal, OpenError> {
        // What is delivered may go at once, so that removing it is part of each run.
        let config = Config { min_free: ByteSize(0), retention: Span(Duration::ZERO), ..Config::default() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        SqliteJournal::open_on(self.folder.path(), config, RefusedBounds::default(), clock, &self.storage())
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join(open::FILE)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join(open::LOG)
    }

    /// A look beside the journal.
    pub(super) fn connect(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.storage().connect(&self.file(), flags).unwrap()
    }

    /// What `journal verify` finds.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut heard = Heard::default();
        match verify::verify_on(self.folder.path(), &mut heard, &self.storage()) {
            Ok(verified) => heard.0.extend(verified.left_out),
            Err(error) => heard.0.push(error.to_string()),
        }
        heard.0
    }
}

#[derive(Default)]
struct Heard(Vec<String>);

impl Listener for Heard {
    fn found(&mut self, finding: Finding) {
        self.0.push(format!("{}: {}", finding.kind.name(), finding.what));
    }

    fn progress(&mut self, _: Progress) {}
}
