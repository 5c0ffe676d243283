//! What a folder needs that a bucket has by itself: a place where images wait until they are whole, and one writer of a
//! record at a time.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::time::sleep;

/// Images that are not whole yet stand below this, where no reader looks.
const STAGED: &str = ".staged";
/// What a relay that was killed has left is taken away after this.
const LEFT_BEHIND: Duration = Duration::from_hours(24);
/// How long to wait between two tries for the lock, which is held for one look and one write.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// A folder as a store.
#[derive(Debug)]
pub(in crate::archive) struct Folder {
    root: PathBuf,
}

/// The right to change records; given back with this value, and with the process.
#[derive(Debug)]
pub(super) struct Alone {
    _file: Option<File>,
}

impl Folder {
    pub(in crate::archive) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Takes away what relays that were killed have left half-way.
    pub(in crate::archive) fn tidy(&self, now: Timestamp) {
        // What cannot be looked at is no reason not to start.
        let Ok(entries) = fs::read_dir(self.root.join(STAGED)) else { return };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
            if modified.is_some_and(|at| now.duration_since(at).unsigned_abs() > LEFT_BEHIND) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Where an object waits until it is whole.
    pub(super) fn staged(prefix: &Path) -> Path {
        let name = format!("{:032x}", rand::random::<u128>());
        Path::from_iter(prefix.parts().chain(Path::from(format!("{STAGED}/{name}")).parts()))
    }

    /// Waits until no other writer changes a record, in this relay or in another one that uses the folder.
    pub(super) async fn alone(&self) -> std::io::Result<Alone> {
        let file = File::open(&self.root)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Alone { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE).await,
                // Some network file systems have no locks; there it is as with a store without conditions.
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                    return Ok(Alone { _file: None });
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// Gives a whole object its name, unless something has that name already: then the staged one is taken away.
pub(super) async fn publish(objects: &dyn ObjectStore, staged: &Path, path: &Path) -> Result<(), Error> {
    let published = objects.rename_if_not_exists(staged, path).await;
    if published.is_err() {
        let _ = objects.delete(staged).await;
    }
    published
}

/// Puts an object in one piece, without a moment in which half of it has its name or one like it.
pub(super) async fn put(
    objects: &dyn ObjectStore,
    staged: &Path,
    path: &Path,
    content: PutPayload,
) -> Result<(), Error> {
    objects.put(staged, content).await?;
    publish(objects, staged, path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_writer_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (Folder::new(root.path().to_owned()), Folder::new(root.path().to_owned()));
        let alone = one.alone().await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(20), other.alone()).await;
        assert!(waits.is_err(), "two writers");
        drop(alone);
        other.alone().await.unwrap();
    }

    #[test]
    fn what_was_left_a_day_ago_goes() {
        let root = tempfile::tempdir().unwrap();
        let staged = root.path().join(STAGED);
        fs::create_dir(&staged).unwrap();
        fs::write(staged.join("a#1"), "half").unwrap();
        let modified = fs::metadata(staged.join("a#1")).unwrap().modified().unwrap();
        let modified = Timestamp::try_from(modified).unwrap();
        let folder = Folder::new(root.path().to_owned());
        folder.tidy(modified + Duration::from_hours(23));
        assert!(staged.join("a#1").exists(), "it may be on its way");
        folder.tidy(modified + Duration::from_hours(25));
        assert!(!staged.join("a#1").exists());
    }
}
