//! What `vodrelay check` finds out about a folder, without leaving anything in it: whoever checks may be somebody else than
//! the relay, and what they made the relay could not write to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use vodrelay_core::SinkError;

use super::{Folder, STAGED};

/// The folders below that the archive writes into.
const BELOW: [&str; 3] = ["events", "images", STAGED];

impl Folder {
    /// Finds out whether the archive could be written, and tells what is worth knowing.
    pub(in crate::archive::store) async fn probe(&self, mark: &str) -> Result<Vec<String>, SinkError> {
        let (root, mark) = (self.0.root.clone(), mark.to_owned());
        let probed = self.0.threads.run(move || probe(&root, &mark)).await;
        let told = |message: &dyn std::fmt::Display| {
            SinkError::temporary(format!("the archive in {}: {message}", self.0.root.display()))
        };
        probed.map_err(|silence| told(&silence))?.map_err(|message| told(&message))
    }
}

fn probe(root: &Path, mark: &str) -> Result<Vec<String>, String> {
    match fs::metadata(root) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err("there is a file, and no folder; correct url".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => return probe_above(root),
        Err(error) => return Err(error.to_string()),
    }
    let mut remarks = Vec::new();
    let below = BELOW.iter().map(|name| root.join(name)).filter(|folder| folder.is_dir());
    for folder in std::iter::once(root.to_owned()).chain(below) {
        let probe = Probe(folder.join(name()));
        let answered = write_and_read(&probe, mark).map_err(|error| cannot_write(&folder, &error))?;
        remarks.extend(of_another_user(&answered, &folder));
    }
    Ok(remarks)
}

/// The folder is not there: could it be made?
fn probe_above(root: &Path) -> Result<Vec<String>, String> {
    let above = super::above(root);
    let probe = ProbeFolder(above.join(name()));
    match fs::create_dir(&probe.0) {
        Ok(()) => {}
        Err(_) if !above.exists() => return Err(super::no_folder_above(above)),
        Err(error) => return Err(format!("it is not there, and {}", cannot_write(above, &error))),
    }
    let remark = format!("{} is not there yet; the relay makes it at the first delivery", root.display());
    let made = fs::metadata(&probe.0).map_err(|error| error.to_string())?;
    Ok(std::iter::once(remark).chain(of_another_user(&made, above)).collect())
}

/// All that the archive does to a file.
fn write_and_read(probe: &Probe, mark: &str) -> io::Result<fs::Metadata> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(&probe.0)?;
    file.write_all(mark.as_bytes())?;
    file.sync_all()?;
    let (written, mut read) = (file.metadata()?, String::new());
    File::open(&probe.0)?.read_to_string(&mut read)?;
    if read != mark {
        return Err(io::Error::other("it gave back other bytes than were written a moment ago"));
    }
    let link = Probe(probe.0.with_extension("link"));
    let no_links = |error| io::Error::other(format!("the archive needs hard links, and: {error}"));
    fs::hard_link(&probe.0, &link.0).map_err(no_links)?;
    if fs::hard_link(&probe.0, &link.0).is_ok() {
        return Err(io::Error::other("it makes a hard link over a file that stands there"));
    }
    Ok(written)
}

fn cannot_write(folder: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", folder.display())
}

/// What root may write says nothing of the relay, which is to be somebody else.
#[cfg(unix)]
fn of_another_user(made: &fs::Metadata, folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(folder).ok()?.uid();
    (made.uid() == 0 && owner != 0).then(|| {
        format!(
            "{} is of the user {owner}, and root has asked, who may write anywhere; ask as the relay's own user, as in \
             `sudo -u vodrelay vodrelay check`",
            folder.display()
        )
    })
}

#[cfg(not(unix))]
fn of_another_user(_: &fs::Metadata, _: &Path) -> Option<String> {
    None
}

/// A name that nothing else has, and no archive reads.
fn name() -> String {
    format!(".vodrelay-check-{:032x}", rand::random::<u128>())
}

/// A file that goes with this value.
struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A folder that goes with this value.
struct ProbeFolder(PathBuf);

impl Drop for ProbeFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
