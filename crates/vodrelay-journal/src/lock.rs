//! The lock that makes one process the owner of a journal, with a note of who that is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::OpenError;

pub(crate) const NAME: &str = "journal.lock";

/// Stands in the note while a log that is gone, or shorter than it was, is no damage.
const EMPTIED: &str = "log = emptied\n";
/// Whoever looks whether the journal is open has the folder's lock for a moment.
const A_MOMENT: Duration = Duration::from_millis(10);
const MOMENTS: u32 = 200;

/// Held for as long as the value lives; the system lets go of it when the process ends, however that happens.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    note: String,
    /// The folder, which is locked as well once the log was looked at and the journal is open.
    open: Option<File>,
}

impl Lock {
    pub(crate) fn take(folder: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let failed = |error: &io::Error| OpenError::from_io(&path, error);
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
        let emptied = if is_emptied(folder) { EMPTIED } else { "" };
        write(&mut file, &format!("{note}{emptied}")).map_err(|error| failed(&error))?;
        Ok(Self { file, note, open: None })
    }

    /// Tells those who read beside it that the log was looked at, and is being written to.
    pub(crate) fn tell_open(&mut self, folder: &Path) -> Result<(), OpenError> {
        let failed = |error: &io::Error| OpenError::from_io(folder, error);
        write(&mut self.file, &self.note).map_err(|error| failed(&error))?;
        let open = File::open(folder).map_err(|error| failed(&error))?;
        for _ in 0..MOMENTS {
            match open.try_lock() {
                Ok(()) => {
                    self.open = Some(open);
                    return Ok(());
                }
                Err(TryLockError::WouldBlock) => thread::sleep(A_MOMENT),
                // Not every file system locks folders; whoever reads finds the same.
                Err(TryLockError::Error(_)) => return Ok(()),
            }
        }
        Err(failed(&io::Error::other("another process has locked the folder")))
    }
}

fn write(file: &mut File, note: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(note.as_bytes())
}

/// Notes that the log is about to be emptied, so that none is missed: its index may be older after a power cut, and count
/// what it had. Until the journal is opened again.
pub(crate) fn note_emptied(folder: &Path) -> io::Result<()> {
    if is_emptied(folder) {
        return Ok(());
    }
    let file = OpenOptions::new().read(true).write(true).open(folder.join(NAME))?;
    file.write_all_at(EMPTIED.as_bytes(), file.metadata()?.len())?;
    file.sync_data()
}

/// Whether the log was emptied, or was about to be, since the journal was opened last.
pub(crate) fn is_emptied(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join(NAME)).is_ok_and(|note| note.ends_with(EMPTIED))
}

/// Keeps relays away without a trace in the folder; nothing where none has ever been. Who reads does not take it for a
/// relay.
pub(crate) fn keep(folder: &Path) -> Result<Option<File>, OpenError> {
    let path = folder.join(NAME);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::from_io(&path, &error)),
    };
    match file.try_lock_shared() {
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

/// Whether a relay has the journal open: it has looked at the log, and writes to it. One that holds the lock may still
/// be about to refuse it.
pub(crate) fn is_open(folder: &Path) -> bool {
    let Ok(file) = File::open(folder) else { return false };
    match file.try_lock_shared() {
        Ok(()) => file.unlock().is_err(),
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => is_held(folder),
    }
}

impl Drop for Lock {
    /// Closing would do, if a child process that is just being started did not hold a copy of the descriptor until it
    /// begins its own program.
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            let _ = open.unlock();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_somebody_looks_at_is_waited_for_and_one_that_is_kept_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(folder.path(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(is_held(folder.path()) && !is_open(folder.path()), "it has not looked yet");
        let other = File::open(folder.path()).unwrap();
        other.lock().unwrap();
        let refused = lock.tell_open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&folder.path().display().to_string()), "{refused}");
        assert!(refused.contains("another process has locked the folder"), "{refused}");
        other.lock_shared().unwrap();
        let looks = thread::spawn(move || {
            thread::sleep(10 * A_MOMENT);
            drop(other);
        });
        lock.tell_open(folder.path()).unwrap();
        assert!(is_open(folder.path()));
        looks.join().unwrap();
        drop(lock);
        assert!(!is_open(folder.path()) && !is_held(folder.path()));
    }
}
