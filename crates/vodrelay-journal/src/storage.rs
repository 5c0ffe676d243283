//! What lies below the journal: how its file is opened, and what is asked of the system beside SQLite. Tests put a
//! disk there that fails.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use crate::checkpoint;
use crate::folder;
use crate::space::{FreeBytes, free_bytes};

/// Does something to the file or folder there.
pub(crate) type OnPath = Arc<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;
/// Does something to the file there, from that place on.
pub(crate) type FromPlace = Arc<dyn Fn(&Path, u64) -> io::Result<()> + Send + Sync>;

/// Copies pages of one file to another: where they shall stand, and where they are.
pub(crate) type CopyPages = Arc<dyn Fn(&Path, &Path, &BTreeMap<u64, u64>) -> io::Result<()> + Send + Sync>;

/// The ground that one journal stands on.
#[derive(Clone)]
pub(crate) struct Storage {
    /// The VFS that SQLite's files go through; its own where there is none.
    pub(crate) vfs: Option<CString>,
    pub(crate) free_bytes: FreeBytes,
    /// Makes durable which files the folder has.
    pub(crate) sync_folder: OnPath,
    /// Writes each page of the file again with the bytes that it has, and syncs it.
    pub(crate) write_anew: OnPath,
    /// Ends the file there, and syncs it; a file that ends before stays as it is.
    pub(crate) cut_off: FromPlace,
    /// Copies pages of the log to the file, and syncs that.
    pub(crate) copy_pages: CopyPages,
    /// How many pages of log make the first checkpoint.
    pub(crate) checkpoint_at: i64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            vfs: None,
            free_bytes: Arc::new(free_bytes),
            sync_folder: Arc::new(folder::sync),
            write_anew: Arc::new(write_anew),
            cut_off: Arc::new(cut_off),
            copy_pages: Arc::new(copy_pages),
            checkpoint_at: checkpoint::PAGES,
        }
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("vfs", &self.vfs).finish_non_exhaustive()
    }
}

impl Storage {
    /// A connection with which SQLite opens the file, by these flags.
    pub(crate) fn connect(&self, file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
        match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(file, flags, vfs.as_c_str()),
            None => Connection::open_with_flags(file, flags),
        }
    }
}

/// After a sync that failed, the kernel may hold pages that never reached the disk and count as clean. They read well,
/// and only what writes to them again lets a sync take them.
fn write_anew(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let (length, mut offset) = (file.metadata()?.len(), 0);
    let mut bytes = vec![0; 1 << 20];
    while offset < length {
        let read = file.read_at(&mut bytes, offset)?;
        if read == 0 {
            break;
        }
        file.write_all_at(bytes.get(..read).unwrap_or_default(), offset)?;
        offset += u64::try_from(read).unwrap_or(0);
    }
    file.sync_data()
}

fn cut_off(path: &Path, end: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if file.metadata()?.len() > end {
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(())
}

fn copy_pages(from: &Path, to: &Path, pages: &BTreeMap<u64, u64>) -> io::Result<()> {
    let (from, to) = (File::open(from)?, File::options().write(true).open(to)?);
    let mut bytes = [0; 4_096];
    for (target, source) in pages {
        from.read_exact_at(&mut bytes, *source)?;
        to.write_all_at(&bytes, *target)?;
    }
    to.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_anew_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..2_500_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        std::fs::write(&path, &bytes).unwrap();
        write_anew(&path).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
        cut_off(&path, 3_000_000).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes, "nothing is added");
        cut_off(&path, 2_000_000).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes[..2_000_000]);
    }
}
