//! Noticing that the journal's files are no longer those that are open.
//!
//! Whoever removes or replaces them under a running relay leaves it writing into files that nobody will find again.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::lock;
use crate::open::{FILE, LOG};

/// The files as they were when the journal was opened, by device and number.
#[derive(Debug)]
pub(crate) struct Files(Vec<(PathBuf, (u64, u64))>);

impl Files {
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let identified = |name: &str| {
            let path = folder.join(name);
            identity(&path).map(|found| (path, found))
        };
        [FILE, LOG, lock::NAME].into_iter().map(identified).collect::<io::Result<_>>().map(Self)
    }

    /// The first file that is not the one that is open, if there is one.
    pub(crate) fn missing(&self) -> Option<&Path> {
        let is_another = |path: &Path, opened: &(u64, u64)| match identity(path) {
            Ok(found) => found != *opened,
            Err(error) => is_gone(&error),
        };
        self.0.iter().find(|(path, opened)| is_another(path, opened)).map(|(path, _)| path.as_path())
    }
}

/// Whether the path leads nowhere any more, or the file it led to is no more. An error of another kind says nothing.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| gone.contains(&number))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}
