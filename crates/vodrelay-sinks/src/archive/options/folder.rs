//! `file://`: a folder as the store.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use vodrelay_core::Clock;
use vodrelay_core::config::{ConfigError, Surroundings};

use super::Purpose;
use crate::archive::store::{Folder, Place, Store};

/// Opens the folder behind `file:`.
pub(super) fn open(
    rest: &str,
    purpose: Purpose,
    surroundings: &Surroundings,
    clock: &Arc<dyn Clock>,
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
    let folder = surroundings.resolve(FilePath::new(path));
    if purpose == Purpose::Write {
        std::fs::create_dir_all(&folder)
            .map_err(|error| wrong(format!("cannot create the folder {}: {error}", folder.display())))?;
    }
    let objects = LocalFileSystem::new_with_prefix(&folder)
        .map_err(|error| wrong(format!("cannot use the folder {}: {error}", folder.display())))?
        // Settled means kept, and what the system has only in memory is not kept.
        .with_fsync(true);
    let name = folder.display().to_string();
    let place = Folder::new(folder);
    if purpose == Purpose::Write {
        place.tidy(clock.now());
    }
    Ok(Store::new(Arc::new(objects), Path::default(), name, Place::Folder(place)))
}
