//! Which operation fails when, and how.

use rusqlite::ffi;

/// An operation that is to fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which kind of operation.
    pub operation: Operation,
    /// On which file.
    pub file: File,
    /// So many of them go well first.
    pub after: u64,
    /// So many of them fail then; `u64::MAX` for all.
    pub times: u64,
    /// How they fail.
    pub how: How,
}

/// What SQLite does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `xRead`.
    Read,
    /// `xWrite`.
    Write,
    /// `xSync`.
    Sync,
    /// `xTruncate`.
    Truncate,
    /// `xShmMap`: the index of the log grows.
    MapIndex,
}

/// Which of a database's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Whichever comes.
    Any,
    /// The database.
    Main,
    /// Its write-ahead log.
    Log,
    /// Anything else, such as a rollback journal.
    Other,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The disk does not answer: `EIO`.
    Io,
    /// There is no room: `ENOSPC`. A read cannot meet that, and a sync says `EIO`, as Linux's do.
    Full,
    /// A write gets half of its bytes down, then there is no room.
    Short,
}

impl Fault {
    /// The first such operation on any file fails, and those after it go well.
    #[must_use]
    pub const fn once(operation: Operation, how: How) -> Self {
        Self { operation, file: File::Any, after: 0, times: 1, how }
    }

    /// Whether this one strikes; counts down.
    pub(crate) fn strikes(&mut self, operation: Operation, file: File) -> bool {
        let meant = self.operation == operation && (self.file == File::Any || self.file == file);
        if !meant || self.times == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if self.times < u64::MAX {
            self.times -= 1;
        }
        true
    }

    /// What SQLite's own VFS would answer.
    pub(crate) const fn code(self) -> i32 {
        match (self.operation, self.how) {
            (Operation::Read, _) => ffi::SQLITE_IOERR_READ,
            (Operation::Write, How::Io) => ffi::SQLITE_IOERR_WRITE,
            (Operation::Write, How::Full | How::Short) => ffi::SQLITE_FULL,
            (Operation::Sync, _) => ffi::SQLITE_IOERR_FSYNC,
            (Operation::Truncate, _) => ffi::SQLITE_IOERR_TRUNCATE,
            (Operation::MapIndex, How::Io) => ffi::SQLITE_IOERR_SHMMAP,
            (Operation::MapIndex, How::Full | How::Short) => ffi::SQLITE_IOERR_SHMSIZE,
        }
    }
}
