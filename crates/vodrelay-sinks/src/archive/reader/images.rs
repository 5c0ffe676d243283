//! The images of one event, for people who look at them.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use vodrelay_core::{ArchivedImage, Envelope, ImageError, ImageStore, SinkError};

use super::found::FoundImage;
use super::{ReadError, Reader};
use crate::archive::inspect::Format;
use crate::archive::record;
use crate::archive::store::Reading;

#[async_trait]
impl ImageStore for Reader {
    async fn images(&self, event: &Envelope) -> Result<Vec<ArchivedImage>, ImageError> {
        Ok(self.images_of(event).await?.into_iter().map(ArchivedImage::from).collect())
    }

    async fn image(&self, event: &Envelope, place: usize, most: u64) -> Result<Bytes, ImageError> {
        let images = self.images_of(event).await?;
        let count = images.len();
        let image = images.into_iter().nth(place);
        let image = image.ok_or_else(|| not_kept(format!("the archive knows {count} images of it")))?;
        let key = key_of(event, place, image)?;
        let Some(reading) = self.store.open(&key).await.map_err(failed)? else {
            return Err(not_kept(format!(
                "the archive's record calls it kept, and {key} is no longer there; when the event is replayed, it is fetched anew"
            )));
        };
        read(reading, most).await
    }
}

impl Reader {
    /// What the record says, or nothing where there is none.
    async fn images_of(&self, event: &Envelope) -> Result<Vec<FoundImage>, ImageError> {
        let Some(found) =
            self.read(record::key(event)).await.map_err(|ReadError(why)| ImageError::Failed(why))?
        else {
            return Ok(Vec::new());
        };
        match found.record {
            Ok(record) => Ok(record.images),
            Err(why) => Err(ImageError::Failed(format!("what stands at {} {why}", found.key))),
        }
    }
}

/// The key by which it is read: the one that this event's image would get here, whatever else a record may name.
fn key_of(event: &Envelope, place: usize, image: FoundImage) -> Result<String, ImageError> {
    if image.state != "kept" {
        let why = image.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        return Err(not_kept(format!("the archive calls it {}{why}", image.state)));
    }
    let own = Format::ALL.map(|format| record::image_key(event, place, format));
    let key = image.key.filter(|key| own.contains(key));
    key.ok_or_else(|| not_kept("the archive's record names a key that is not this image's".to_owned()))
}

async fn read(reading: Reading<'_>, most: u64) -> Result<Bytes, ImageError> {
    let Reading { size, mut chunks, .. } = reading;
    if size > most {
        return Err(ImageError::TooLarge(size));
    }
    let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    while let Some(chunk) = chunks.next().await {
        whole.extend_from_slice(&chunk.map_err(failed)?);
        // A store that gives more than it said is given up.
        if whole.len() as u64 > most {
            return Err(ImageError::TooLarge(whole.len() as u64));
        }
    }
    Ok(whole.into())
}

fn not_kept(why: String) -> ImageError {
    ImageError::NotKept(why)
}

fn failed(error: SinkError) -> ImageError {
    ImageError::Failed(error.message)
}

impl From<FoundImage> for ArchivedImage {
    fn from(found: FoundImage) -> Self {
        let FoundImage { state, reason, kept_bytes, doubts, .. } = found;
        let doubts = doubts.into_iter().map(|doubt| (doubt.field, doubt.what)).collect();
        Self { state, reason, bytes: kept_bytes, doubts }
    }
}
