//! What a checkpoint has moved into the file without the sync that would have followed.
//!
//! SQLite notes in the log's index how many frames are in the file already, and moves them no more. It syncs the file
//! only when all are. A start reads the log anew and forgets the note, but not while another process, a backup say, has
//! the journal open: the index is that process's too. Where the sync of the file then failed, or never came, and the
//! power goes after the log has begun anew, those pages would be lost. So they are moved again before anything else is.
//! Each is what the file has there as it reads, so nobody who reads sees a change.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::frames::{FRAME, FRAME_HEADER, HEADER, Log, PAGE};
use super::index::Index;
use crate::storage::Storage;

/// Moves what the index says is moved, and syncs the file. Nobody in this process has the file open: closing it would
/// end their locks.
pub(crate) fn move_again(path: &Path, main: &Path, storage: &Storage) -> io::Result<()> {
    let (Some(index), Some(log)) = (Index::beside(path)?, Log::open(path)?) else { return Ok(()) };
    let moved = index.moved(log.known_by) as usize;
    if moved == 0 {
        return Ok(());
    }
    // Of a page that is in the log more than once the last one counts.
    let mut pages = BTreeMap::new();
    for (number, step) in (0_u64..).zip(log.take(moved)) {
        let step = step?;
        if !step.continues {
            break;
        }
        let from = (HEADER + FRAME_HEADER) as u64 + number * FRAME as u64;
        pages.insert(u64::from(step.frame.page().saturating_sub(1)) * PAGE as u64, from);
    }
    (storage.copy_pages)(path, main, &pages)
}
