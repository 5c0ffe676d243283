//! The port to the images that an archive keeps, for people who look at them. Nothing on the path of an event uses it.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::envelope::Envelope;

/// Where archived images are read from; a sink that keeps some provides it.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait ImageStore: Send + Sync + std::fmt::Debug {
    /// What is known of the images of the event, by their place in it; nothing where the event is not kept there.
    ///
    /// # Errors
    /// If the store does not answer, or has something else in that place.
    async fn images(&self, event: &Envelope) -> Result<Vec<ArchivedImage>, ImageError>;

    /// The bytes of one of them, as they stand in the store, if they are no more than `most`.
    ///
    /// # Errors
    /// If they are more, or are not kept, and why; if the store does not answer.
    async fn image(&self, event: &Envelope, place: usize, most: u64) -> Result<Bytes, ImageError>;
}

/// What an archive says of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArchivedImage {
    /// The archive's word for it; `kept` where the whole image stands in the store.
    pub state: String,
    /// Why it is not kept, where that is known.
    pub reason: Option<String>,
    /// The size of a kept one.
    pub bytes: Option<u64>,
    /// In what a kept one differs from what the event says of it: the field, and what is odd about it.
    pub doubts: Vec<(String, String)>,
}

/// Why there is nothing to see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The archive does not keep it.
    #[error("{0}")]
    NotKept(String),
    /// It is larger than was asked for.
    #[error("it has {0} bytes, which is too much to show")]
    TooLarge(u64),
    /// The store does not answer, or refuses.
    #[error("{0}")]
    Failed(String),
}
