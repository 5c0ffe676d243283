//! `file://`: a folder as the store.

use std::fs::File;
use std::io;
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
        make_durable(&folder)
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

/// Makes the folder and those above it that are missing, and makes their names durable: what is kept below a name that
/// is lost with the power is lost as well.
fn make_durable(folder: &FilePath) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let missing: Vec<&FilePath> = missing.collect();
    std::fs::create_dir_all(folder)?;
    for above in missing.into_iter().filter_map(FilePath::parent) {
        let above = if above.as_os_str().is_empty() { FilePath::new(".") } else { above };
        File::open(above)?.sync_all()?;
    }
    Ok(())
}
