//! Looking at the journal's files before SQLite does.
//!
//! Where the file is missing or empty, SQLite takes the folder for a new one and removes the log beside it, with all
//! that was acknowledged since the last checkpoint. No power cut leaves such a pair: the file has its name and its first
//! page, synced, before there is a log.

use std::io;
use std::path::Path;

use crate::error::OpenError;
use crate::open::{FILE, LOG};

/// Refuses a log that has lost its file.
///
/// # Errors
/// If there is one, or if nobody can tell.
pub(crate) fn refuse_lone_log(folder: &Path) -> Result<(), OpenError> {
    let length = |name: &str| match std::fs::metadata(folder.join(name)) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::from_io(&folder.join(name), &error)),
    };
    let state = match length(FILE)? {
        None => "is missing",
        Some(0) => "is empty",
        Some(_) => return Ok(()),
    };
    if length(LOG)?.is_none_or(|length| length == 0) {
        return Ok(());
    }
    let cause = format!(
        "{FILE} {state} and its log {LOG} is there, which holds what was acknowledged last; put the file back beside it"
    );
    Err(OpenError::Corrupt { path: folder.to_owned(), cause })
}

/// Whether a relay has had a journal here that is gone.
pub(crate) fn is_gone(folder: &Path) -> bool {
    let has_been_held = std::fs::metadata(folder.join(crate::lock::NAME)).is_ok_and(|found| found.len() > 0);
    has_been_held && !folder.join(FILE).exists()
}
