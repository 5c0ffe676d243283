//! Holds what a record claims against what stands in the store.

use futures_util::stream::StreamExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use vodrelay_core::SinkError;

use super::found::{Body, Found, FoundImage, FoundRecord};
use crate::archive::store::{Reading, Store};

/// What came of one record.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was found.
    pub found: Found,
    /// How many images it calls kept.
    pub kept: u64,
    /// What does not match; nothing where all is well.
    pub mismatches: Vec<Mismatch>,
}

/// An object that is not what a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The object's key, below the prefix of the archive.
    pub key: String,
    /// What is wrong with it, a fragment that follows the key.
    pub what: String,
}

/// # Errors
/// If the store does not answer, or refuses; what does not match is no error.
pub(super) async fn verdict(store: &Store, found: Found) -> Result<Verdict, SinkError> {
    let record = match &found.record {
        Ok(record) => record,
        Err(what) => {
            let mismatches = vec![Mismatch { key: found.key.clone(), what: what.clone() }];
            return Ok(Verdict { found, kept: 0, mismatches });
        }
    };
    let of_record = |what: String| Mismatch { key: found.key.clone(), what };
    let mut mismatches: Vec<Mismatch> = [wrong_id(&found.key, record), wrong_body(&record.body)]
        .into_iter()
        .flatten()
        .map(of_record)
        .collect();
    let mut kept = 0;
    for (place, image) in record.images.iter().enumerate().filter(|(_, image)| image.state == "kept") {
        kept += 1;
        match Claim::of(image) {
            Some(claim) => mismatches.extend(wrong_image(store, &claim).await?),
            None => mismatches.push(of_record(format!(
                "says that image {place} is kept, without a key under images/, a SHA-256 and a size"
            ))),
        }
    }
    Ok(Verdict { found, kept, mismatches })
}

fn wrong_id(key: &str, record: &FoundRecord) -> Option<String> {
    let name = key.rsplit('/').next().unwrap_or_default();
    (name != format!("{}.json", record.id)).then(|| format!("tells of another event, {}", record.id))
}

fn wrong_body(body: &Body) -> Option<String> {
    let bytes = match body.bytes() {
        Ok(bytes) => bytes,
        Err(what) => return Some(what),
    };
    if bytes.len() as u64 != body.size_bytes {
        return Some(format!("has a body of {} bytes, and says {}", bytes.len(), body.size_bytes));
    }
    let sha256 = hex(Sha256::digest(&bytes).as_slice());
    (sha256 != body.sha256).then(|| format!("has a body with the SHA-256 {sha256}, and says {}", body.sha256))
}

/// What a record claims of a kept image.
struct Claim<'r> {
    key: &'r str,
    sha256: &'r str,
    size: u64,
}

impl<'r> Claim<'r> {
    fn of(image: &'r FoundImage) -> Option<Self> {
        let FoundImage { key: Some(key), sha256: Some(sha256), kept_bytes: Some(size), .. } = image else {
            return None;
        };
        key.starts_with("images/").then_some(Self { key, sha256, size: *size })
    }
}

async fn wrong_image(store: &Store, claim: &Claim<'_>) -> Result<Option<Mismatch>, SinkError> {
    let wrong = |what: String| Some(Mismatch { key: claim.key.to_owned(), what });
    let Some(Reading { size, mut chunks, .. }) = store.open(claim.key).await? else {
        return Ok(wrong("is not there, and its record says that it is kept".to_owned()));
    };
    if size != claim.size {
        return Ok(wrong(format!("has {size} bytes, and its record says {}", claim.size)));
    }
    let mut hash = Sha256::new();
    while let Some(chunk) = chunks.next().await {
        hash.update(&chunk?);
    }
    let sha256 = hex(hash.finalize().as_slice());
    if sha256 == claim.sha256 {
        return Ok(None);
    }
    Ok(wrong(format!("has the SHA-256 {sha256}, and its record says {}", claim.sha256)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
