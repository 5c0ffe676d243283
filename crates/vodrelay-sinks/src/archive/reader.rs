//! Reads an archive back: lists its records, and holds the objects against what the records say of them. Nothing is
//! written, what is to be forgotten is removed, and no more than a few records and pieces of objects are in memory at a
//! time.

mod forget;
mod found;
mod images;
mod verify;

use std::fmt;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use jiff::civil::Date;
use vodrelay_core::config::{ConfigError, Options};
use vodrelay_core::{Clock, SinkError};

pub use self::found::{Found, FoundDoubt, FoundImage, FoundRecord};
pub use self::verify::{Mismatch, Verdict};
use super::options;
use super::store::{Store, WHOLE};

/// How many records are read at the same time: a store far away answers each after a while.
const AHEAD: usize = 8;
/// How many records have their objects read at the same time.
const VERIFIED_AT_ONCE: usize = 4;

/// An archive, for reading.
#[derive(Clone, Debug)]
pub struct Reader {
    store: Arc<Store>,
}

/// The store did not answer, or refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(String);

impl From<SinkError> for ReadError {
    fn from(error: SinkError) -> Self {
        Self(error.message)
    }
}

/// What comes out of an archive, one by one.
pub struct Items<'r, T>(BoxStream<'r, Result<T, ReadError>>);

impl<T> Items<'_, T> {
    /// The next one; none after the last. What comes after an error is what could be read after all.
    ///
    /// # Errors
    /// If the store does not answer, or refuses.
    pub async fn next(&mut self) -> Result<Option<T>, ReadError> {
        self.0.try_next().await
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

impl Reader {
    /// The archive that a sink with these options writes. The clock says when keys are to be renewed.
    ///
    /// # Errors
    /// If the options are wrong, as for the sink; and if they name a folder that is not there.
    pub fn open(options: &Options, clock: &Arc<dyn Clock>) -> Result<Self, ConfigError> {
        options::store_to_read(options, clock).map(|store| Self { store: Arc::new(store) })
    }

    /// The archive of a running sink, whose folder need not be there yet.
    pub(super) fn beside(store: Store) -> Self {
        Self { store: Arc::new(store) }
    }

    /// The records, of this day of their keys or of every day: the days in order, and within a day by id where the
    /// archive is a bucket.
    #[must_use]
    pub fn records(&self, day: Option<Date>) -> Items<'_, Found> {
        Items(self.found(day).boxed())
    }

    /// Holds each record against itself and the images that it calls kept.
    #[must_use]
    pub fn verdicts(&self, day: Option<Date>) -> Items<'_, Verdict> {
        let verdicts = self.found(day).map(|found| async { Ok(verify::verdict(&self.store, found?).await?) });
        Items(verdicts.buffered(VERIFIED_AT_ONCE).boxed())
    }

    fn found(&self, day: Option<Date>) -> BoxStream<'_, Result<Found, ReadError>> {
        let days = async move {
            match day {
                Some(day) => Ok(vec![format!("date={day}")]),
                None => self.store.folders("events").await,
            }
        };
        let keys = futures_util::stream::once(days)
            .map_ok(|days| futures_util::stream::iter(days).map(Ok))
            .try_flatten()
            .map_ok(|day| self.store.keys(&format!("events/{day}")))
            .try_flatten();
        let keys = keys.try_filter(|key| std::future::ready(is_of_record(key)));
        let read = keys.map(|key| async { self.read(key?).await }).buffered(AHEAD);
        // An object that went between the listing and the reading is nobody's loss.
        read.try_filter_map(|found| std::future::ready(Ok(found))).boxed()
    }

    async fn read(&self, key: String) -> Result<Option<Found>, ReadError> {
        let size = self.store.open(&key).await?.map_or(0, |reading| reading.size);
        if size > WHOLE {
            let record = Err(format!("has {size} bytes, more than any record"));
            return Ok(Some(Found { key, record }));
        }
        let read = self.store.read(&key).await?;
        Ok(read.map(|(bytes, _)| Found::new(key, &bytes)))
    }
}

/// Whether it is the key of a record, whatever stands there: what else somebody has put there is theirs.
fn is_of_record(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.starts_with("evt_") && name.ends_with(".json")
}
