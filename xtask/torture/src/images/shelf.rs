//! What stands in the bucket, beside what was sent: the records, and each image to its last byte.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vodrelay_core::testing::Picture;

use super::files;

/// The bucket, and the pictures that belong into it.
pub(super) struct Shelf {
    bucket: PathBuf,
    by_id: HashMap<String, Sent>,
    record_of: HashMap<usize, PathBuf>,
}

#[derive(Deserialize)]
struct Record {
    images: [Image; 1],
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    state: String,
    key: String,
    sha256: String,
    kept_bytes: usize,
}

/// A picture that the host sends.
struct Sent {
    picture: Picture,
    sha256: String,
}

impl Shelf {
    /// A shelf for the first so many pictures of that host.
    pub(super) fn new(bucket: PathBuf, images: usize, host: SocketAddr) -> Self {
        let (mut by_id, mut record_of) = (HashMap::new(), HashMap::new());
        for number in 0..images {
            let picture = Picture::new(number);
            let id = vod_event::read(&picture.event(host)).unwrap().id().to_string();
            record_of.insert(number, bucket.join(format!("events/date=2024-03-05/{id}.json")));
            let mut sha256 = Sha256::new();
            picture.chunks().for_each(|chunk| sha256.update(&chunk));
            by_id.insert(id, Sent { picture, sha256: hex(sha256) });
        }
        Self { bucket, by_id, record_of }
    }

    /// Checks that each object among the images is whole, and that each record that calls its image kept names such an
    /// object. Gives back whose those are.
    pub(super) fn survey(&self) -> HashSet<usize> {
        let whole: HashMap<String, &Sent> =
            files(&self.bucket.join("images")).into_iter().map(|path| self.whole(&path)).collect();
        let mut kept = HashSet::new();
        for path in files(&self.bucket.join("events")) {
            let image = image(&path);
            if image.state != "kept" {
                continue;
            }
            let key = image.key;
            let stands = whole.get(&key).unwrap_or_else(|| panic!("{key} is called kept and is not there"));
            let Sent { picture, sha256 } = self.of(path.file_stem().unwrap().to_str().unwrap());
            assert_eq!(picture.number, stands.picture.number, "{key} is of another event");
            assert_eq!(image.sha256, *sha256, "{key}");
            assert_eq!(image.kept_bytes, picture.size, "{key}");
            kept.insert(picture.number);
        }
        kept
    }

    /// Whether there is a record of that picture, and calls it kept.
    pub(super) fn says_kept(&self, number: usize) -> bool {
        let path = self.record_of.get(&number).unwrap();
        path.exists() && image(path).state == "kept"
    }

    /// The key of an object, and the picture that it is, to the last byte.
    fn whole(&self, path: &Path) -> (String, &Sent) {
        let key = path.strip_prefix(&self.bucket).unwrap().to_str().unwrap().to_owned();
        let id = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap();
        let (sent, stands) = (self.of(id), std::fs::read(path).unwrap());
        assert_eq!(stands.len(), sent.picture.size, "{key} is not whole");
        assert_eq!(hex(Sha256::new_with_prefix(&stands)), sent.sha256, "{key} is another image");
        (key, sent)
    }

    fn of(&self, id: &str) -> &Sent {
        self.by_id.get(id).unwrap_or_else(|| panic!("{id} was never sent"))
    }
}

/// The one image of a record.
fn image(record: &Path) -> Image {
    let Record { images: [image] } = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    image
}

fn hex(sha256: Sha256) -> String {
    sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
