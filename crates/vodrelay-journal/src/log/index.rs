//! What SQLite notes of a log in the index beside it, which the processes share that have the journal open.
//!
//! The format is that of <https://sqlite.org/walformat.html>; its numbers are in the order of this machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::{Order, number_at, sum};
use crate::lock;

/// The note stands there twice, and a kill may leave one of them half written.
const NOTE: usize = 48;
const SUMMED: usize = 40;

/// The note.
#[derive(Debug)]
pub(super) struct Index {
    /// Those of the log that it is of, as they stand in its header.
    salts: (u32, u32),
    frames: u32,
    /// Written with a commit. Otherwise it comes from a look at what a process that was killed has left, which may be
    /// more than was ever synced.
    is_of_commit: bool,
    moved: u32,
    /// It may count what the log had before it was emptied.
    is_emptied: bool,
}

impl Index {
    /// Nothing where there is none, or one that nobody has written to.
    pub(super) fn beside(log: &Path) -> io::Result<Option<Self>> {
        let name = log.file_name().and_then(|name| name.to_str()?.strip_suffix("-wal"));
        let Some(name) = name else { return Ok(None) };
        let path = log.with_file_name(format!("{name}-shm"));
        let mut bytes = [0; 2 * NOTE + 4];
        match File::open(path).and_then(|file| file.read_exact_at(&mut bytes, 0)) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let (notes, moved) = bytes.split_at(2 * NOTE);
        let is_emptied = log.parent().is_some_and(lock::is_emptied);
        Ok(notes.chunks_exact(NOTE).find_map(|note| Self::read(note, native(moved, 0), is_emptied)))
    }

    fn read(note: &[u8], moved: u32, is_emptied: bool) -> Option<Self> {
        let stored = [native(note, SUMMED), native(note, SUMMED + 4)];
        let is_right = sum([0, 0], note.get(..SUMMED)?, Order::NATIVE) == stored;
        let is_written = note.get(12) == Some(&1);
        (is_right && is_written).then(|| Self {
            salts: (number_at(note, 32), number_at(note, 36)),
            frames: native(note, 16),
            is_of_commit: native(note, 8) != 0,
            // The log begins anew in two steps, and this is the second.
            moved: moved.min(native(note, 16)),
            is_emptied,
        })
    }

    /// How many frames of the log with these salts were synced with a commit: the note is written after that.
    pub(super) fn synced(&self, salts: Option<(u32, u32)>) -> u32 {
        if self.proves() { self.of(salts, self.frames) } else { 0 }
    }

    /// How many frames were synced of a log that is not there, and are not all in the file.
    pub(super) fn synced_of_lost(&self) -> u32 {
        if self.proves() && self.moved < self.frames { self.frames } else { 0 }
    }

    fn proves(&self) -> bool {
        self.is_of_commit && !self.is_emptied
    }

    /// How many frames of the log with these salts a checkpoint has moved into the file.
    pub(super) fn moved(&self, salts: Option<(u32, u32)>) -> u32 {
        self.of(salts, self.moved)
    }

    /// None where it is of another log.
    fn of(&self, salts: Option<(u32, u32)>, frames: u32) -> u32 {
        if salts == Some(self.salts) { frames } else { 0 }
    }
}

fn native(bytes: &[u8], offset: usize) -> u32 {
    let found = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_ne_bytes(found.unwrap_or_default())
}
