//! Objects that are there already: read, changed only where nobody else has changed them meanwhile.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use vodrelay_core::SinkError;

use super::Store;

/// What became of an object that was to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Updated {
    /// It has the new content.
    Done,
    /// It is another than was read, and was left alone.
    Changed,
}

impl Store {
    /// The object and its version, or nothing where there is none.
    pub(in crate::archive) async fn read(
        &self,
        key: &str,
    ) -> Result<Option<(Bytes, UpdateVersion)>, SinkError> {
        let path = self.path(key);
        let failed = |error| self.failed("read", &path, &error);
        let found = match self.objects.get(&path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        Ok(Some((found.bytes().await.map_err(failed)?, version)))
    }

    /// The object chunk by chunk, or nothing where there is none that can be read: of an object that is not there, S3
    /// tells those who may not list the bucket no more than that they lack a right.
    pub(in crate::archive) async fn stream(
        &self,
        key: &str,
    ) -> Result<Option<BoxStream<'_, Result<Bytes, SinkError>>>, SinkError> {
        let path = self.path(key);
        match self.objects.get_opts(&path, GetOptions::default()).await {
            Ok(found) => {
                let chunks = found.into_stream();
                Ok(Some(
                    chunks
                        .map(move |chunk| chunk.map_err(|error| self.failed("read", &path, &error)))
                        .boxed(),
                ))
            }
            Err(Error::NotFound { .. } | Error::PermissionDenied { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", &path, &error)),
        }
    }

    /// Whether there is such an object, as far as that can be told: see [`stream`](Self::stream).
    pub(super) async fn has(&self, path: &Path) -> Result<bool, SinkError> {
        match self.objects.head(path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. } | Error::PermissionDenied { .. }) => Ok(false),
            Err(error) => Err(self.failed("look for", path, &error)),
        }
    }

    /// Gives the object new content if it still is the one that was read.
    ///
    /// A folder cannot do that in one step, so there it is read again just before.
    pub(in crate::archive) async fn update(
        &self,
        key: &str,
        content: Vec<u8>,
        read: &UpdateVersion,
    ) -> Result<Updated, SinkError> {
        let path = self.path(key);
        let payload = Bytes::from(content);
        if read.e_tag.is_some() {
            let update = PutOptions::from(PutMode::Update(read.clone()));
            match self.objects.put_opts(&path, payload.clone().into(), update).await {
                Ok(_) => return Ok(Updated::Done),
                Err(Error::Precondition { .. } | Error::NotFound { .. }) => return Ok(Updated::Changed),
                Err(Error::NotImplemented { .. }) => {}
                Err(error) => return Err(self.failed("write", &path, &error)),
            }
        }
        let now = self.objects.head(&path).await.map_err(|error| self.failed("look for", &path, &error))?;
        if now.e_tag != read.e_tag {
            return Ok(Updated::Changed);
        }
        let written = self.objects.put(&path, payload.into()).await;
        written.map(|_| Updated::Done).map_err(|error| self.failed("write", &path, &error))
    }
}
