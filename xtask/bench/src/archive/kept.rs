//! Looks at what an archive has kept: every record, and every image to its last byte.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vodrelay_core::testing::Picture;

#[derive(Deserialize)]
struct Record {
    event: Event,
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Event {
    video_id: String,
}

#[derive(Deserialize)]
struct Image {
    state: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    kept_bytes: usize,
    #[serde(default)]
    doubts: Vec<serde_json::Value>,
}

/// Checks that the archive in this bucket's folder has a record of each of so many pictures, and that each is kept
/// without a doubt: with the size and the SHA-256 of what the host sent, which is made here once more, and of what
/// stands in the store.
pub(super) fn check(bucket: &Path, pictures: usize) -> Result<(), String> {
    let mut found = BTreeSet::new();
    for path in records(&bucket.join("events"))? {
        let number = check_record(bucket, &path).map_err(|error| format!("{}: {error}", path.display()))?;
        found.insert(number);
    }
    if found == (0..pictures).collect() {
        return Ok(());
    }
    Err(format!("there are records of {} pictures, and {pictures} were sent", found.len()))
}

fn records(events: &Path) -> Result<Vec<PathBuf>, String> {
    let list = |folder: &Path| {
        let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| error.to_string()));
        paths.collect::<Result<Vec<PathBuf>, String>>()
    };
    let days: Vec<Vec<PathBuf>> = list(events)?.iter().map(|day| list(day)).collect::<Result<_, _>>()?;
    Ok(days.concat())
}

/// The number of the picture that the record tells of.
fn check_record(bucket: &Path, path: &Path) -> Result<usize, String> {
    let json = fs::read(path).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let [image] = record.images.as_slice() else { return Err("it has not one image".to_owned()) };
    let number = usize::from_str_radix(&record.event.video_id, 16).map_err(|error| error.to_string())?;
    let picture = Picture::new(number);
    if image.state != "kept" || image.kept_bytes != picture.size || !image.doubts.is_empty() {
        return Err(format!("the image is not kept as it should be: {}", String::from_utf8_lossy(&json)));
    }
    let mut sent = Sha256::new();
    picture.chunks().for_each(|chunk| sent.update(&chunk));
    let stands = sha256(&bucket.join(&image.key)).map_err(|error| format!("{}: {error}", image.key))?;
    for (whose, digest) in [("what was sent", sent.finalize().to_vec()), ("what stands there", stands)] {
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if digest != image.sha256 {
            return Err(format!("{whose} has the SHA-256 {digest}, and the record says {}", image.sha256));
        }
    }
    Ok(number)
}

fn sha256(path: &Path) -> std::io::Result<Vec<u8>> {
    let (mut file, mut hasher, mut chunk) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 18]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hasher.finalize().to_vec());
        }
        hasher.update(chunk.get(..read).unwrap_or_default());
    }
}
