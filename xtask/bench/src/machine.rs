//! What the figures were measured on.

use std::fs;
use std::path::Path;

use crate::clock;

/// Kinds of file system on which a sync costs nothing, so that nothing would be measured.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// One line: cores, processor, kernel, file system, date. Nothing that names the machine.
pub(crate) fn describe(folder: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let date = clock::now().strftime("%Y-%m-%d");
    format!(
        "{date}, {cores} cores of {}, Linux {kernel}, {} on disk, release build {}",
        processor(),
        file_system(folder),
        env!("CARGO_PKG_VERSION")
    )
}

/// Refuses a folder that is not on a disk.
pub(crate) fn check_disk(folder: &Path) -> Result<(), String> {
    let found = file_system(folder);
    if IN_MEMORY.contains(&found.as_str()) {
        return Err(format!(
            "{} is on {found}, where a sync costs nothing; set CARGO_TARGET_DIR to a folder on a disk",
            folder.display()
        ));
    }
    Ok(())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    model.map_or_else(|| "an unknown processor".to_owned(), |(_, model)| model.trim().to_owned())
}

/// The file system of the mount that holds the folder.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        folder.starts_with(at).then_some((at.len(), kind))
    });
    // Of two mounts at the same place the later one counts.
    let kind = holding.max_by_key(|(length, _)| *length).map(|(_, kind)| kind);
    kind.unwrap_or("an unknown file system").to_owned()
}
