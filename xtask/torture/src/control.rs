//! The harness's side of the words: what the relay's process is to suffer, and what has happened to it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::words::{WORDS, Word};

/// The words of one relay; they outlive its process.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) path: PathBuf,
    file: File,
}

impl Control {
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let open = || {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
            file.set_len((WORDS * size_of::<u64>()) as u64)?;
            Ok(file)
        };
        let file =
            open().map_err(|error: std::io::Error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// From now on this holds.
    pub(crate) fn tell(&self, word: Word, value: u64) -> Result<(), String> {
        let written = self.file.write_all_at(&value.to_ne_bytes(), place(word));
        written.map_err(|error| format!("cannot tell {word:?}: {error}"))
    }

    pub(crate) fn told(&self, word: Word) -> Result<u64, String> {
        let mut bytes = [0; size_of::<u64>()];
        let read = self.file.read_exact_at(&mut bytes, place(word));
        read.map_err(|error| format!("cannot read {word:?}: {error}"))?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

fn place(word: Word) -> u64 {
    (word as usize * size_of::<u64>()) as u64
}
