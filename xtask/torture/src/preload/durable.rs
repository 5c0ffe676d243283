//! What a power cut would leave: a copy of each file as it was at its last sync.
//!
//! The harness makes the copies before the process begins, and afterwards builds from file and copy what the disk might
//! have held. That a file is there, or gone, counts as durable at once.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{c_int, c_void};

use crate::ground::ground;

/// Places and lengths of what was written.
type Ranges = Vec<(u64, usize)>;

/// Which file a descriptor leads to, by its copy, and what was written to each since its last sync.
#[derive(Debug, Default)]
struct Files {
    copies: BTreeMap<c_int, PathBuf>,
    unsynced: BTreeMap<PathBuf, Ranges>,
}

static FILES: Mutex<Files> = Mutex::new(Files { copies: BTreeMap::new(), unsynced: BTreeMap::new() });

fn files() -> MutexGuard<'static, Files> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the copy of that file is; none of the log's index, which no power cut leaves anything of.
fn copy_of(path: &[u8]) -> Option<PathBuf> {
    let name = Path::new(OsStr::from_bytes(path)).file_name()?;
    let is_index = name.as_bytes().ends_with(b"-shm");
    let folder = ground()?.durable.as_ref().filter(|_| !is_index)?;
    Some(folder.join(name))
}

pub(crate) fn opened(file: c_int, path: &[u8]) {
    let Some(copy) = copy_of(path) else { return };
    if file >= 0 {
        files().copies.insert(file, copy);
    }
}

pub(crate) fn written(file: c_int, place: u64, length: usize) {
    let mut files = files();
    if let Some(copy) = files.copies.get(&file).cloned() {
        files.unsynced.entry(copy).or_default().push((place, length));
    }
}

/// Takes what was written before the sync that begins.
pub(crate) fn unsynced(file: c_int) -> Ranges {
    let mut files = files();
    let copy = files.copies.get(&file).cloned();
    copy.and_then(|copy| files.unsynced.remove(&copy)).unwrap_or_default()
}

/// It is on the disk now: the copy gets it. A copy that cannot be written would make the harness see losses that are
/// none, so the process ends.
pub(crate) fn synced(file: c_int, ranges: Ranges) {
    let copy = files().copies.get(&file).cloned();
    let Some(copy) = copy else { return };
    if let Err(error) = copy_ranges(file, &copy, ranges) {
        eprintln!("torture: cannot keep {}: {error}", copy.display());
        std::process::abort();
    }
}

fn copy_ranges(file: c_int, copy: &Path, ranges: Ranges) -> io::Result<()> {
    let copy = OpenOptions::new().write(true).create(true).truncate(false).open(copy)?;
    for (place, length) in ranges {
        let mut bytes = vec![0; length];
        let read = read_at(file, &mut bytes, place)?;
        copy.write_all_at(bytes.get(..read).unwrap_or_default(), place)?;
    }
    copy.set_len(length_of(file)?)
}

fn read_at(file: c_int, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    let place = place.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the buffer is as long as we say.
    let read = unsafe { libc::pread64(file, bytes.as_mut_ptr().cast::<c_void>(), bytes.len(), place) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

fn length_of(file: c_int) -> io::Result<u64> {
    // By its name, since the descriptor is not ours to own.
    Ok(File::open(format!("/proc/self/fd/{file}"))?.metadata()?.len())
}

pub(crate) fn removed(path: &[u8]) {
    let Some(copy) = copy_of(path) else { return };
    files().unsynced.remove(&copy);
    // There is none of a file that was never synced.
    let _ = std::fs::remove_file(copy);
}
