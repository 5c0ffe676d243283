//! Removing a record with its images, for good.

use super::{FoundRecord, ReadError, Reader};
use crate::archive::inspect::Format;

impl Reader {
    /// Removes the record under that key, and each image that may stand in the store for it. The images go first, so that
    /// a record of which something is left is found again.
    ///
    /// A bucket that keeps versions keeps these too, until a lifecycle rule removes them.
    ///
    /// # Errors
    /// If the store does not answer, or refuses; what was removed until then is gone.
    pub async fn remove(&self, key: &str, record: &FoundRecord) -> Result<(), ReadError> {
        let place_of = key.strip_prefix("events/").and_then(|rest| rest.strip_suffix(".json"));
        let Some(place_of) = place_of else {
            return Err(ReadError(format!("{key} is no key of a record")));
        };
        for place in 0..record.images.len() {
            // A relay that was killed may have left one that its record does not tell of.
            for format in Format::ALL {
                self.store.remove(&format!("images/{place_of}.{place}.{}", format.word())).await?;
            }
        }
        Ok(self.store.remove(key).await?)
    }
}
