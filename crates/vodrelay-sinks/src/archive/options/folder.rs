//! `file://`: a folder as the store.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::path::Path;
use vodrelay_core::Clock;
use vodrelay_core::config::{ConfigError, Surroundings};

use super::Purpose;
use crate::archive::store::{Folder, Place, Store, ThreadsOfFolders};

/// The folder behind `file:`. Nobody looks at it yet: whether it is there, and answers, is no matter of configuration.
pub(super) fn open(
    rest: &str,
    purpose: Purpose,
    surroundings: &Surroundings,
    clock: &Arc<dyn Clock>,
    folders: &ThreadsOfFolders,
) -> Result<Store, ConfigError> {
    let wrong = |message: String| ConfigError::new("url", message);
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(wrong("expected file:///path with three slashes, or file:path".to_owned())),
        None => rest,
    };
    if path.is_empty() {
        return Err(wrong("expected a path after file:".to_owned()));
    }
    let root = surroundings.resolve(FilePath::new(path));
    let name = root.display().to_string();
    let folder = match purpose {
        Purpose::Write => Folder::to_write(root, folders, Arc::clone(clock)),
        Purpose::Read => Folder::to_read(root, folders),
    };
    Ok(Store::new(Arc::new(folder.clone()), Path::default(), name, Place::Folder(folder)))
}
