//! The disk as a test holds it, and what it knows of each file. No unsafe code: the modules below call in here.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

use crate::cut::Cut;
use crate::dice::Dice;
use crate::fault::{Fault, File, How, Operation};
use crate::pages::{Read, Unsynced};
use crate::vfs;

/// A disk that fails on demand, registered with SQLite as a VFS for as long as the process lives.
#[derive(Debug)]
pub struct FaultyDisk {
    name: CString,
    disk: Arc<Disk>,
}

impl FaultyDisk {
    /// Registers a disk that works.
    ///
    /// # Panics
    /// If SQLite has no VFS of its own to stand on.
    #[must_use]
    pub fn new() -> Self {
        let disk = Arc::new(Disk::default());
        Self { name: vfs::register(&disk), disk }
    }

    /// The name to open a database with.
    #[must_use]
    pub fn name(&self) -> &std::ffi::CStr {
        &self.name
    }

    /// How many writes, syncs and truncations there were so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.disk.state().operations
    }

    /// The power goes at the write, sync or truncation that comes after that many more. From then on everything fails
    /// for those who have a file open, until [`FaultyDisk::power_cut`].
    pub fn cut_power_in(&self, operations: u64) {
        let mut state = self.disk.state();
        state.cut_at = Some(state.operations + operations);
    }

    /// Whether the power has gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.disk.state().dead
    }

    /// The power goes now, if it has not yet, and comes back: each file is left as the seed decides among all that a
    /// disk may have kept. Whoever still has a file open finds that nothing works; close it before it is opened anew,
    /// since the system's locks are lost to a process that opens a file a second time.
    ///
    /// # Panics
    /// If a file cannot be written by the test itself.
    pub fn power_cut(&self, seed: u64) -> Cut {
        let mut state = self.disk.state();
        state.life += 1;
        (state.dead, state.cut_at) = (false, None);
        state.faults.clear();
        state.apply_cut(&mut Dice::new(seed))
    }

    /// From now on that operation fails, beside those that were to fail before.
    pub fn fail(&self, fault: Fault) {
        self.disk.state().faults.push(fault);
    }

    /// Nothing fails any more, and how often something did since this was last called.
    pub fn heal(&self) -> u64 {
        let mut state = self.disk.state();
        state.faults.clear();
        std::mem::take(&mut state.struck)
    }

    /// From now on a sync says that all is well and keeps nothing.
    pub fn ignore_syncs(&self) {
        self.disk.state().ignores_syncs = true;
    }

    /// Somebody synced the folder beside SQLite: the files in it are there to stay.
    pub fn folder_synced(&self, folder: &Path) {
        let mut state = self.disk.state();
        state.deleted.retain(|path, _| path.parent() != Some(folder));
        let here = state.files.iter_mut().filter(|(path, _)| path.parent() == Some(folder));
        here.for_each(|(_, file)| file.is_in_folder = true);
    }

    /// Somebody wrote every page of the file again, beside SQLite, and synced it.
    pub fn written_anew(&self, path: &Path) {
        if let Some(file) = self.disk.state().files.get_mut(path) {
            file.written_anew();
        }
    }

    /// Somebody wrote the pages that begin there, beside SQLite, and synced the file.
    pub fn pages_written(&self, path: &Path, places: impl IntoIterator<Item = u64>) {
        if let Some(file) = self.disk.state().files.get_mut(path) {
            file.pages_written(places);
        }
    }

    /// Somebody ended the file there, beside SQLite, if it went on, and synced it.
    pub fn cut_off(&self, path: &Path, end: u64) {
        if let Some(file) = self.disk.state().files.get_mut(path).filter(|file| file.length() > end) {
            file.cut_off(end);
        }
    }
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

/// What the C functions share.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<State>);

/// What is known of a disk.
#[derive(Debug, Default)]
pub(crate) struct State {
    files: BTreeMap<PathBuf, Unsynced>,
    /// Files that went and may come back, with their bytes.
    deleted: BTreeMap<PathBuf, Vec<u8>>,
    faults: Vec<Fault>,
    struck: u64,
    operations: u64,
    cut_at: Option<u64>,
    dead: bool,
    /// Files opened before the last power cut belong to a process that is no more.
    life: u64,
    ignores_syncs: bool,
}

/// What an operation comes to.
pub(crate) enum Verdict {
    Goes,
    /// It does its work, and then the power goes.
    GoesLast,
    /// A write gets half of its bytes down.
    Half(i32),
    Fails(i32),
}

impl Disk {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) const fn life(&self) -> u64 {
        self.life
    }

    /// Whether a process of that life can still do anything.
    pub(crate) const fn is_alive(&self, life: u64) -> bool {
        !self.dead && self.life == life
    }

    pub(crate) fn judge(&mut self, life: u64, operation: Operation, file: File) -> Verdict {
        if !self.is_alive(life) {
            return Verdict::Fails(ffi::SQLITE_IOERR);
        }
        if matches!(operation, Operation::Write | Operation::Sync | Operation::Truncate) {
            self.operations += 1;
            if self.cut_at.is_some_and(|at| self.operations > at) {
                self.dead = true;
                let written = operation != Operation::Sync;
                return if written { Verdict::GoesLast } else { Verdict::Fails(ffi::SQLITE_IOERR) };
            }
        }
        let striking =
            self.faults.iter_mut().find_map(|fault| fault.strikes(operation, file).then_some(*fault));
        match striking {
            None => Verdict::Goes,
            Some(fault) => {
                self.struck += 1;
                let half = operation == Operation::Write && fault.how == How::Short;
                if half { Verdict::Half(fault.code()) } else { Verdict::Fails(fault.code()) }
            }
        }
    }

    /// A file was opened, and was or was not there before.
    pub(crate) fn opened(&mut self, path: &Path, length: u64, was_there: bool) {
        self.files.entry(path.to_owned()).or_insert_with(|| Unsynced::new(length, was_there));
    }

    pub(crate) fn length(&self, path: &Path) -> u64 {
        self.files.get(path).map_or(0, Unsynced::length)
    }

    pub(crate) fn before(&mut self, path: &Path, range: Range<u64>, read: &Read<'_>) -> Result<(), i32> {
        self.files.get_mut(path).map_or(Ok(()), |file| file.before(range, read))
    }

    pub(crate) fn after(
        &mut self,
        path: &Path,
        range: Range<u64>,
        length: u64,
        read: &Read<'_>,
    ) -> Result<(), i32> {
        self.files.get_mut(path).map_or(Ok(()), |file| file.after(range, length, read))
    }

    pub(crate) fn synced(&mut self, path: &Path, kind: File) {
        if self.ignores_syncs {
            return;
        }
        if let Some(file) = self.files.get_mut(path) {
            file.synced();
            // SQLite's VFS syncs the folder with the first sync of a log or a rollback journal, not of a database.
            file.is_in_folder |= kind != File::Main;
        }
    }

    pub(crate) fn sync_failed(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.stranded();
        }
    }

    /// A file is being deleted; `bytes` is what stands in it.
    pub(crate) fn deleted(&mut self, path: &Path, bytes: Vec<u8>, folder_is_synced: bool) {
        let known = self.files.remove(path);
        if !folder_is_synced && known.is_none_or(|file| file.is_in_folder) {
            self.deleted.insert(path.to_owned(), bytes);
        }
    }

    fn apply_cut(&mut self, dice: &mut Dice) -> Cut {
        let mut cut = Cut::default();
        for (path, file) in std::mem::take(&mut self.files) {
            if !path.exists() {
                continue;
            }
            if !file.is_in_folder && dice.one_in(2) {
                std::fs::remove_file(&path).unwrap_or_else(|error| broken(&path, &error));
                cut.files_gone += 1;
                continue;
            }
            let open = std::fs::File::options().write(true).open(&path);
            let changed = open.and_then(|open| file.cut(&open, dice));
            cut.pages += changed.unwrap_or_else(|error| broken(&path, &error));
        }
        for (path, bytes) in std::mem::take(&mut self.deleted) {
            if !path.exists() && dice.one_in(2) {
                std::fs::write(&path, bytes).unwrap_or_else(|error| broken(&path, &error));
                cut.files_back += 1;
            }
        }
        cut
    }
}

/// A test whose own disk does not work cannot go on.
fn broken<T>(path: &Path, error: &std::io::Error) -> T {
    panic!("the power cut cannot be played: {}: {error}", path.display())
}
