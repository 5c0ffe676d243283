//! What came of the demo: told to people, and compared with what was sent. The demo is a check as well.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vodrelay_core::{SystemClock, Totals};
use vodrelay_sinks::archive::{FoundImage, Reader};

use super::Voice;
use super::cdn::Cdn;
use super::service::Service;
use crate::config::Loaded;
use crate::exit::{Code, Failure};

/// Everything that is compared.
pub(super) struct Outcome {
    totals: Totals,
    /// The bodies that the service got.
    received: Vec<Vec<u8>>,
    /// Signatures that the service refused.
    wrong_signatures: usize,
    archived: Archived,
    /// Requests that the CDN denied.
    denied: usize,
}

/// What stands in the archive.
#[derive(Default)]
struct Archived {
    records: usize,
    /// What the records say of the images that events tell of.
    images: Vec<FoundImage>,
    /// Objects that are not what their records say.
    mismatches: Vec<String>,
}

impl Outcome {
    pub(super) async fn gather(
        totals: Totals,
        service: &Service,
        cdn: &Cdn,
        loaded: &Loaded,
    ) -> Result<Self, Failure> {
        Ok(Self {
            totals,
            received: service.received(),
            wrong_signatures: service.refused(),
            archived: Archived::read(loaded).await?,
            denied: cdn.denied(),
        })
    }

    pub(super) fn tell(&self, voice: Voice) {
        let Self { totals, received, archived, .. } = self;
        voice.say("\nWhat came of it:");
        voice.say(format!(
            "  accepted   {} events, each on disk before VOD was told 200 or the message deleted",
            totals.events
        ));
        voice.say(format!("  merged     {} repeats, one of them over the other way", totals.duplicates));
        voice.say(format!("  refused    {} forgery", totals.refusals));
        voice.say(format!(
            "  delivered  {} to the service, byte for byte, signed anew for its own URL and key",
            received.len()
        ));
        voice.say(format!(
            "  archived   {} records, and {} images: fetched by signed URLs, checked, kept whole",
            archived.records,
            archived.kept().count()
        ));
        for image in archived.kept() {
            if let (Some(key), Some(sha256)) = (&image.key, &image.sha256) {
                voice.say(format!("             {key}\n             SHA-256 {sha256}, as the CDN has it"));
            }
        }
    }

    /// Compares with the bodies that were sent, and with what the CDN serves.
    pub(super) fn verify(&self, sent: &[Vec<u8>], cdn: &Cdn) -> Result<(), Failure> {
        let Self { totals, received, archived, .. } = self;
        if !sent.iter().all(|body| received.contains(body)) || received.len() != sent.len() {
            return wrong("the service did not receive the bytes that were sent".to_owned());
        }
        if self.wrong_signatures > 0 {
            return wrong(format!("the service refused {} signatures", self.wrong_signatures));
        }
        if (totals.events, totals.duplicates, totals.refusals, archived.records) != (4, 2, 1, 4) {
            return wrong(format!(
                "the counts are not those of what was sent: {totals:?}, {} archived",
                archived.records
            ));
        }
        let mut kept: Vec<_> = archived.kept().filter_map(|image| image.sha256.clone()).collect();
        let mut served = [cdn.gif(), cdn.webp(), cdn.gif()].map(|image| sha256(&image.bytes)).to_vec();
        kept.sort();
        served.sort();
        if kept != served || archived.images.len() != served.len() {
            return wrong(format!("the images are not those of the CDN: {:?}", archived.images));
        }
        if !archived.mismatches.is_empty() {
            return wrong(format!(
                "the archive is not what its records say: {}",
                archived.mismatches.join(", ")
            ));
        }
        if self.denied != 1 {
            return wrong(format!("the CDN denied {} requests, and one was not signed", self.denied));
        }
        Ok(())
    }

    pub(super) fn json(&self, whole: bool) -> Value {
        let Self { totals, received, archived, .. } = self;
        json!({
            "whole": whole, "accepted": totals.events, "merged": totals.duplicates, "refused": totals.refusals,
            "delivered": received.len(), "archived": archived.records, "images": archived.kept().count(),
        })
    }
}

impl Archived {
    /// Reads every record of the demo's archive, and hashes every image.
    async fn read(loaded: &Loaded) -> Result<Self, Failure> {
        let unreadable =
            |error: String| Failure::new(Code::Internal, format!("the archive cannot be read: {error}"));
        let mut archived = Self::default();
        let archives = loaded.config.sinks.values().filter(|sink| sink.kind == "archive");
        for sink in archives {
            let options = sink.options(&loaded.surroundings);
            let reader = Reader::open(&options, &(Arc::new(SystemClock) as _));
            let reader = reader.map_err(|error| unreadable(error.to_string()))?;
            let mut verdicts = reader.verdicts(None);
            while let Some(verdict) = verdicts.next().await.map_err(|error| unreadable(error.to_string()))? {
                archived.records += 1;
                archived.images.extend(verdict.found.record.into_iter().flat_map(|record| record.images));
                let mismatches = verdict.mismatches.into_iter();
                archived
                    .mismatches
                    .extend(mismatches.map(|mismatch| format!("{} {}", mismatch.key, mismatch.what)));
            }
        }
        Ok(archived)
    }

    fn kept(&self) -> impl Iterator<Item = &FoundImage> {
        self.images.iter().filter(|image| image.state == "kept")
    }
}

fn wrong(what: String) -> Result<(), Failure> {
    Err(Failure::new(Code::Internal, what))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
