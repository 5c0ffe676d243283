//! What can go wrong with the file, told apart in one place: for the one who opens it, and for the running journal.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ffi;
use vodrelay_core::JournalError;

const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the journal in {path} is held by process {pid} on {host} since {since}; stop that one first, or give this one a data_dir of its own"
    )]
    HeldBy {
        /// The folder.
        path: PathBuf,
        /// The process, as far as its lock file tells.
        pid: String,
        /// The machine or container.
        host: String,
        /// When it took the lock.
        since: String,
    },
    /// A later version has changed the file in a way that this one does not know.
    #[error(
        "the journal in {path} has schema {found}, written by vodrelay {written_by}, and this version knows {known}; start that version or a later one again"
    )]
    NewerSchema {
        /// The folder.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The schema that this version writes.
        known: i64,
        /// The version that wrote the file last.
        written_by: String,
    },
    /// The folder or a file in it cannot be written.
    #[error(
        "the journal in {path} cannot be written: {cause}; give the user that runs vodrelay the right to write there, or set another data_dir"
    )]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The file is something else.
    #[error("{path} is not a vodrelay journal: {cause}; move it away, or set another data_dir")]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// The file is damaged.
    #[error(
        "the journal in {path} is damaged: {cause}; keep a copy of the folder, then restore a backup into an empty data_dir, or run `vodrelay journal salvage`, which copies what can be read"
    )]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// There is no room even to open it.
    #[error(
        "the disk of {path} is full: {cause}; make room and start again, nothing that was accepted is lost"
    )]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The disk does not read or write.
    #[error(
        "the disk of {path} does not work: {cause}; look at it (`dmesg`), then start again, or restore a backup on another one"
    )]
    DiskFails {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Anything else.
    #[error("cannot open the journal in {path}: {cause}; mend that, then start again")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}

impl OpenError {
    pub(crate) fn from_io(path: &Path, error: &io::Error) -> Self {
        let (path, cause) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, cause }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, cause },
            _ if error.raw_os_error() == Some(EIO) => Self::DiskFails { path, cause },
            _ => Self::Io { path, cause },
        }
    }

    pub(crate) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let (path, cause) = (path.to_owned(), error.to_string());
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        match error.sqlite_error_code() {
            _ if extended == ffi::SQLITE_IOERR_SHMSIZE => Self::DiskFull { path, cause },
            Some(ErrorCode::SystemIoFailure) => {
                Self::DiskFails { path, cause: format!("{cause} (SQLite code {extended})") }
            }
            // Nobody but us makes a file of that name: it was a journal, and its first page is damaged.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, cause },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::NotWritable { path, cause }
            }
            Some(ErrorCode::DiskFull) => Self::DiskFull { path, cause },
            _ => Self::Io { path, cause },
        }
    }
}

/// What an error of the running journal means for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing may be written any more.
    Poison(String),
    /// No room; passes.
    Full(String),
    /// What stands there cannot have been written by us: one row is damaged, and asking again will not mend it.
    Damaged(String),
    /// This one thing did not work.
    Failed(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let cause = error.to_string();
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        match error.sqlite_error_code() {
            // The wal-index grows in a file of its own; that it cannot is a full disk like any other.
            _ if extended == ffi::SQLITE_IOERR_SHMSIZE => Self::Full(cause),
            Some(ErrorCode::DiskFull) => Self::Full(cause),
            Some(ErrorCode::SystemIoFailure) => Self::Poison(format!("{cause} (SQLite code {extended})")),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Poison(cause),
            _ if does_not_read(&error) => Self::Damaged(cause),
            _ => Self::Failed(cause),
        }
    }
}

impl Fault {
    /// Of a file that is written beside SQLite.
    pub(crate) fn from_io(name: &str, error: &io::Error) -> Self {
        let cause = format!("{name}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(cause),
            _ => Self::Poison(cause),
        }
    }

    pub(crate) fn to_error(&self) -> JournalError {
        match self.clone() {
            Self::Poison(cause) => JournalError::Poisoned(cause),
            Self::Full(cause) => JournalError::Full(cause),
            Self::Damaged(cause) | Self::Failed(cause) => JournalError::Failed(cause),
        }
    }
}

/// SQLite gave a value, and it is not what the column holds, or the row that another one names is not there.
fn does_not_read(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
            | Error::QueryReturnedNoRows
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever takes a passing error for damage buries a delivery that is well.
    #[test]
    fn what_passes_is_no_damage() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_INTERRUPT, ffi::SQLITE_NOMEM] {
            let fault = Fault::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            assert!(matches!(fault, Fault::Failed(_)), "{code}: {fault:?}");
        }
    }
}
