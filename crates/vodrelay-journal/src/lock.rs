//! The lock that makes one process the owner of a journal, with a note of who that is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use jiff::Timestamp;

use crate::error::OpenError;

pub(crate) const NAME: &str = "journal.lock";

/// Held for as long as the value lives; the system lets go of it when the process ends, however that happens.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    pub(crate) fn take(folder: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let failed = |error: &std::io::Error| OpenError::from_io(&path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held_by(folder, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let note = format!("pid = {}\nhost = {}\nsince = {now}\n", std::process::id(), host());
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
        written.map_err(|error| failed(&error))?;
        Ok(Self { file })
    }
}

/// Keeps others away without a trace in the folder; nothing where no relay has ever been.
pub(crate) fn keep(folder: &Path) -> Result<Option<File>, OpenError> {
    let path = folder.join(NAME);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::from_io(&path, &error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(held_by(folder, &mut file)),
        Err(TryLockError::Error(error)) => Err(OpenError::from_io(&path, &error)),
    }
}

/// Whether a process has the journal now; one whose lock cannot be looked at counts as running.
#[must_use]
pub fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(NAME)) else { return false };
    // A shared lock writes nothing and goes with the file; a relay that starts just then would be told to try again.
    match file.try_lock_shared() {
        Ok(()) => file.unlock().is_err(),
        Err(_) => true,
    }
}

impl Drop for Lock {
    /// Closing would do, if a child process that is just being started did not hold a copy of the descriptor until it
    /// begins its own program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn held_by(folder: &Path, file: &mut File) -> OpenError {
    let mut note = String::new();
    // The note is for people; without it the answer is the same, only less helpful.
    let _ = file.read_to_string(&mut note);
    let field = |name: &str| {
        let value = note.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix("= "));
        value.unwrap_or("unknown").to_owned()
    };
    OpenError::HeldBy {
        path: folder.to_owned(),
        pid: field("pid"),
        host: field("host"),
        since: field("since"),
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
