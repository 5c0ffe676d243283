//! `file:`: a folder as the store, and what it needs that a bucket has by itself: threads of its own, a place where images
//! wait until they are whole, and one writer of a record at a time.

mod objects;
mod probe;
mod threads;

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use vodrelay_core::Clock;

use self::objects::now;
use self::threads::Threads;
pub(in crate::archive) use self::threads::ThreadsOfFolders;
use super::Updated;

/// Images that are not whole yet stand below this, where no reader looks.
const STAGED: &str = ".staged";
/// What a relay that was killed has left is taken away after this.
const LEFT_BEHIND: Duration = Duration::from_hours(24);
/// How long to wait between two tries for the lock, which is held for one look and one write; and how often to try.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
const LOCK_TRIES: usize = 10_000;
/// How long to wait for the one name of a folder that has several.
const NAME_WITHIN: Duration = Duration::from_secs(2);

/// A folder as a store. Nothing of it is touched before the first operation. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(in crate::archive) struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// The clock, where the folder is to be written to; it is made then.
    writes: Option<Arc<dyn Clock>>,
    /// The folder, once it was there.
    objects: OnceLock<LocalFileSystem>,
    threads: Arc<Threads>,
}

/// Why there is no folder to work in, or none that works.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unusable(String);

impl Folder {
    /// The folder for a writer. It is made where it is not there.
    pub(in crate::archive) fn to_write(
        root: PathBuf,
        folders: &ThreadsOfFolders,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::new(root, folders, Some(clock))
    }

    /// The folder for a reader, as it is there.
    pub(in crate::archive) fn to_read(root: PathBuf, folders: &ThreadsOfFolders) -> Self {
        Self::new(root, folders, None)
    }

    fn new(root: PathBuf, folders: &ThreadsOfFolders, writes: Option<Arc<dyn Clock>>) -> Self {
        let threads = folders.of(&root);
        Self(Arc::new(Inner { root, writes, objects: OnceLock::new(), threads }))
    }

    /// Where it stands, whichever way it was written; as it was written where its file system does not answer.
    pub(super) fn place(&self) -> PathBuf {
        let (root, (tell, told)) = (self.0.root.clone(), mpsc::channel());
        let look = move || {
            let by_above = || Some(fs::canonicalize(above(&root)).ok()?.join(root.file_name()?));
            let _ = tell.send(fs::canonicalize(&root).ok().or_else(by_above));
        };
        let looks = thread::Builder::new().name("archive folder's name".to_owned()).spawn(look);
        let place = looks.ok().and_then(|_| told.recv_timeout(NAME_WITHIN).ok().flatten());
        place.unwrap_or_else(|| self.0.root.clone())
    }

    /// Where an object waits until it is whole.
    pub(super) fn staged(prefix: &Path) -> Path {
        let name = format!("{:032x}", rand::random::<u128>());
        Path::from_iter(prefix.parts().chain(Path::from(format!("{STAGED}/{name}")).parts()))
    }

    /// Gives a record new content if it still is the one that was read, while no other writer changes a record, in this
    /// relay or in another one that uses the folder.
    pub(super) async fn update(
        &self,
        path: &Path,
        content: Bytes,
        read: Option<String>,
    ) -> Result<Updated, Error> {
        let (path, root) = (path.clone(), self.0.root.clone());
        self.work(move |objects| {
            let _alone = alone(&root)?;
            if now(objects.head(&path))?.e_tag != read {
                return Ok(Updated::Changed);
            }
            now(objects.put(&path, content.into())).map(|_| Updated::Done)
        })
        .await
    }

    /// Removes what writers that were killed have left beside an object: the library writes to `NAME#1` first, and shows
    /// that to nobody.
    pub(super) async fn remove_unfinished(&self, path: &Path) -> Result<(), Error> {
        let (path, root) = (path.clone(), self.0.root.clone());
        self.work(move |_| {
            let whole = root.join(path.as_ref());
            let (Some(folder), Some(name)) = (whole.parent(), path.filename()) else { return Ok(()) };
            let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
            for entry in entries.flatten() {
                let is_unfinished = entry
                    .file_name()
                    .to_string_lossy()
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('#'));
                if is_unfinished {
                    fs::remove_file(entry.path()).map_err(|error| {
                        unusable(format!("{} cannot be removed: {error}", entry.path().display()))
                    })?;
                }
            }
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// The folder, made where that is to be. One that was there and is not, as with a file system that is no longer
    /// mounted, is not made anew: what came into it would be on another disk.
    fn objects(&self) -> Result<&LocalFileSystem, Error> {
        let shown = self.root.display();
        if let Some(objects) = self.objects.get() {
            return match fs::metadata(&self.root) {
                Err(error) if error.kind() == ErrorKind::NotFound => Err(unusable(format!(
                    "the folder {shown} is no longer there; mount it, or make it again"
                ))),
                _ => Ok(objects),
            };
        }
        if let Some(clock) = &self.writes {
            make_durable(&self.root)?;
            tidy(&self.root, clock.now());
        }
        let objects = LocalFileSystem::new_with_prefix(&self.root).map_err(|error| {
            unusable(format!("the folder {shown} cannot be used: {}", super::cause(&error)))
        })?;
        // Settled means kept, and what the system has only in memory is not kept.
        Ok(self.objects.get_or_init(|| objects.with_fsync(true)))
    }
}

/// Makes the folder if it is missing, and makes its name durable: what is kept below a name that is lost with the power is
/// lost as well. The folder above it is never made: it may be where another disk is to be mounted.
fn make_durable(root: &FilePath) -> Result<(), Error> {
    let cannot = |error: &io::Error| {
        unusable(format!("the folder {} is not there and cannot be made: {error}", root.display()))
    };
    match fs::metadata(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // Whatever else is wrong is told by the one who uses it.
        _ => return Ok(()),
    }
    let above = above(root);
    match fs::create_dir(root) {
        Ok(()) => File::open(above).and_then(|above| above.sync_all()).map_err(|error| cannot(&error)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) if !above.exists() => Err(unusable(no_folder_above(above))),
        Err(error) => Err(cannot(&error)),
    }
}

/// The folder above this one.
fn above(root: &FilePath) -> &FilePath {
    root.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(FilePath::new("."))
}

/// What is told where even the folder above is missing.
fn no_folder_above(above: &FilePath) -> String {
    let above = above.display();
    format!(
        "the folder above it, {above}, is not there, and is never made, since a disk may be missing; mount it, or make it"
    )
}

/// Takes away what relays that were killed have left half-way.
fn tidy(root: &FilePath, now: Timestamp) {
    // What cannot be looked at is no reason not to begin.
    let Ok(entries) = fs::read_dir(root.join(STAGED)) else { return };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
        if modified.is_some_and(|at| now.duration_since(at).unsigned_abs() > LEFT_BEHIND) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The right to change records; given back with this value, and with the process.
#[derive(Debug)]
struct Alone {
    _file: Option<File>,
}

/// Waits until no other writer changes a record.
fn alone(root: &FilePath) -> Result<Alone, Error> {
    let cannot = |error: &dyn std::fmt::Display| {
        unusable(format!("the folder cannot be locked for a change: {error}"))
    };
    let file = File::open(root).map_err(|error| cannot(&error))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Alone { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            // Some network file systems have no locks; there it is as with a store without conditions.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                return Ok(Alone { _file: None });
            }
            Err(TryLockError::Error(error)) => return Err(cannot(&error)),
        }
    }
    Err(cannot(&"another process has had it locked all the time"))
}

fn unusable(message: String) -> Error {
    of_folder(Unusable(message))
}

/// What went wrong with the folder as a whole.
fn of_folder(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "folder", source: Box::new(source) }
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

    #[test]
    fn one_writer_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let held = alone(root.path()).unwrap();
        let path = root.path().to_owned();
        let (tell, told) = mpsc::channel();
        let other = thread::spawn(move || {
            let _alone = alone(&path).unwrap();
            tell.send(()).unwrap();
        });
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "two writers");
        drop(held);
        other.join().unwrap();
    }

    #[test]
    fn what_was_left_a_day_ago_goes() {
        let root = tempfile::tempdir().unwrap();
        let staged = root.path().join(STAGED);
        fs::create_dir(&staged).unwrap();
        fs::write(staged.join("a#1"), "half").unwrap();
        let modified = fs::metadata(staged.join("a#1")).unwrap().modified().unwrap();
        let modified = Timestamp::try_from(modified).unwrap();
        tidy(root.path(), modified + Duration::from_hours(23));
        assert!(staged.join("a#1").exists(), "it may be on its way");
        tidy(root.path(), modified + Duration::from_hours(25));
        assert!(!staged.join("a#1").exists());
    }
}
