//! An object that is written in parts, and cannot be seen before the last one stands.

use std::fmt;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions};
use vodrelay_core::SinkError;

use super::{Kind, Store};

/// An upload under way. Whoever drops it leaves its parts in a bucket; the bucket's lifecycle rule for uploads that
/// were never completed takes them away.
pub(in super::super) struct Upload<'s> {
    store: &'s Store,
    path: Path,
    parts: Box<dyn MultipartUpload>,
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'s> Upload<'s> {
    pub(super) async fn begin(store: &'s Store, path: Path, kind: Kind) -> Result<Self, SinkError> {
        let options =
            PutMultipartOptions { attributes: store.attributes(kind), ..PutMultipartOptions::default() };
        match store.objects.put_multipart_opts(&path, options).await {
            Ok(parts) => Ok(Self { store, path, parts }),
            Err(error) => Err(store.failed("begin to write", &path, &error).await),
        }
    }

    /// Writes the next part. Each but the last must have at least 5 MiB (S3's rule) and the size of the first (R2's).
    pub(in super::super) async fn part(&mut self, content: Bytes) -> Result<(), SinkError> {
        match self.parts.put_part(content.into()).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.store.failed("write a part of", &self.path, &error).await),
        }
    }

    /// Makes an object of the parts.
    pub(in super::super) async fn complete(mut self) -> Result<(), SinkError> {
        match self.parts.complete().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = self.store.failed("complete", &self.path, &error).await;
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Takes the parts away, as far as the store lets us: they cost money and cannot be seen.
    pub(in super::super) async fn abort(mut self) {
        if let Err(error) = self.parts.abort().await {
            tracing::debug!(
                archive.key = %self.path, error = %error,
                "the parts of an upload that was given up may have stayed in the store",
            );
        }
    }
}
