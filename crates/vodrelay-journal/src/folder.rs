//! Folders that are there after a power cut: a folder's name is on disk only when the folder above it was synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes the folder and those above it that are missing, for the user of this process alone, and makes their names durable.
/// What VOD sends, and signatures among the refusals, are for nobody else on this machine.
///
/// # Errors
/// If it cannot be made, or is no folder.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    make(folder, &sync)
}

/// The same, by that way to sync a folder.
pub(crate) fn make(folder: &Path, sync: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    // The root, and a folder that is named by nothing but where we are, have no name that could be lost.
    let Some(above) = folder.parent() else { return Ok(()) };
    if !above.as_os_str().is_empty() && !above.exists() {
        make(above, sync)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    // One that is there already may be left by a start that was ended before it came here.
    match sync(or_here(above)) {
        // Whoever may not read what is above has not made it, and can do nothing about it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Makes an empty file, for the user of this process alone.
pub(crate) fn make_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The folder that a file stands in.
pub(crate) fn of(file: &Path) -> &Path {
    file.parent().map_or(Path::new("/"), or_here)
}

/// Makes durable which files and folders the folder has.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Which folders are synced, in that order, by their paths below the one that is there.
    fn synced(there: &Path, folder: &str) -> Vec<String> {
        let synced = RefCell::new(Vec::new());
        let note = |path: &Path| {
            synced.borrow_mut().push(path.strip_prefix(there).unwrap().display().to_string());
            sync(path)
        };
        make(&there.join(folder), &note).unwrap();
        synced.into_inner()
    }

    #[test]
    fn each_folder_that_is_made_is_told_to_the_disk() {
        let there = tempfile::tempdir().unwrap();
        assert_eq!(synced(there.path(), "a/b/c"), ["", "a", "a/b"]);
        assert_eq!(synced(there.path(), "a/b/d"), ["a/b"]);
        assert_eq!(synced(there.path(), "a/b/d"), ["a/b"], "and once more where it is there");
        let mode = there.path().join("a/b").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let there = tempfile::tempdir().unwrap();
        std::fs::write(there.path().join("file"), "").unwrap();
        for folder in ["file", "file/below"] {
            assert!(make_folder(&there.path().join(folder)).is_err(), "{folder}");
        }
    }

    #[test]
    fn what_is_above_and_not_ours_is_borne() {
        let there = tempfile::tempdir().unwrap();
        let denied = |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        make(&there.path().join("a"), &denied).unwrap();
        let broken = |_: &Path| Err(io::Error::other("EIO"));
        assert!(make(&there.path().join("b"), &broken).is_err());
    }
}
