//! What a checkpoint has moved into the file without the sync that would have followed.
//!
//! SQLite notes in the log's index how many frames are in the file already, and moves them no more. It syncs the file
//! only when all are. A start reads the log anew and forgets the note, but not while another process, a backup say, has
//! the journal open: the index is that process's too. Where the sync of the file then failed, or never came, and the
//! power goes after the log has begun anew, those pages would be lost. So they are moved again before anything else is.
//! Each is what the file has there as it reads, so nobody who reads sees a change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::{FRAME, FRAME_HEADER, HEADER, Log, PAGE};
use crate::storage::Storage;

/// Where the index has the salts of its log, and the count of frames that are moved.
const SALTS: u64 = 32;
const MOVED: u64 = 96;

/// Moves what the index says is moved, and syncs the file. Nobody in this process has the file open: closing it would
/// end their locks.
pub(crate) fn move_again(log: &Path, index: &Path, main: &Path, storage: &Storage) -> io::Result<()> {
    let moved = match moved(log, index) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => 0,
        moved => moved?,
    };
    if moved == 0 {
        return Ok(());
    }
    let Some(frames) = Log::open(log)? else { return Ok(()) };
    // Of a page that is in the log more than once the last one counts.
    let mut pages = BTreeMap::new();
    for (number, step) in (0_u64..).zip(frames.take(moved as usize)) {
        let step = step?;
        if !step.continues {
            break;
        }
        let from = (HEADER + FRAME_HEADER) as u64 + number * FRAME as u64;
        pages.insert(u64::from(step.frame.page().saturating_sub(1)) * PAGE as u64, from);
    }
    (storage.copy_pages)(log, main, &pages)
}

/// How many frames of this log are moved; none where the index is of another one.
fn moved(log: &Path, index: &Path) -> io::Result<u32> {
    let (log, index) = (File::open(log)?, File::open(index)?);
    let (mut of_log, mut of_index, mut moved) = ([0; 8], [0; 8], [0; 4]);
    log.read_exact_at(&mut of_log, 16)?;
    index.read_exact_at(&mut of_index, SALTS)?;
    index.read_exact_at(&mut moved, MOVED)?;
    Ok(if of_log == of_index { u32::from_ne_bytes(moved) } else { 0 })
}
