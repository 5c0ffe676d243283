//! Objects that are there already: read, changed only where nobody else has changed them meanwhile.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use vodrelay_core::SinkError;

use super::fault::{self, Fault};
use super::{Kind, Place, Store};

/// No object that is read at once is larger, in bytes: a record is a few times a body.
pub(in crate::archive) const WHOLE: u64 = 64 << 20;

/// What became of an object that was to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Updated {
    /// It has the new content.
    Done,
    /// It is another than was read, and was left alone.
    Changed,
}

/// An object as it is read: never more of it in memory than a chunk.
pub(in crate::archive) struct Reading<'s> {
    /// In bytes.
    pub(in crate::archive) size: u64,
    pub(in crate::archive) chunks: BoxStream<'s, Result<Bytes, SinkError>>,
    version: UpdateVersion,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Store {
    /// Begins to read the object, or nothing where there is none.
    pub(in crate::archive) async fn open(&self, key: &str) -> Result<Option<Reading<'_>>, SinkError> {
        self.open_unless(key, |error| fault::of(error) == Fault::NoObject).await
    }

    /// Begins to read an object that may be there, or nothing where there is none that may be read.
    pub(in crate::archive) async fn open_if_any(&self, key: &str) -> Result<Option<Reading<'_>>, SinkError> {
        self.open_unless(key, is_absent_or_hidden).await
    }

    async fn open_unless(
        &self,
        key: &str,
        is_absent: fn(&Error) -> bool,
    ) -> Result<Option<Reading<'_>>, SinkError> {
        let path = self.path(key);
        let found = match self.objects.get(&path).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.failed("read", &path, &error)),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let size = found.meta.size;
        let chunks = found.into_stream().map_err(move |error| self.failed("read", &path, &error)).boxed();
        Ok(Some(Reading { size, chunks, version }))
    }

    /// The object and its version, or nothing where there is none.
    pub(in crate::archive) async fn read(
        &self,
        key: &str,
    ) -> Result<Option<(Bytes, UpdateVersion)>, SinkError> {
        let Some(Reading { size, mut chunks, version }) = self.open(key).await? else { return Ok(None) };
        if size > WHOLE {
            let path = self.path(key);
            let message = format!("{path} in {} has {size} bytes, more than any record", self.name);
            return Err(SinkError::temporary(message));
        }
        let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(Some((whole.into(), version)))
    }

    /// Whether there is an object under that key, as far as the access key may know.
    pub(in crate::archive) async fn has_key(&self, key: &str) -> Result<bool, SinkError> {
        self.has(&self.path(key)).await
    }

    /// Whether there is such an object, as far as the key may know.
    pub(super) async fn has(&self, path: &Path) -> Result<bool, SinkError> {
        match self.objects.head(path).await {
            Ok(_) => Ok(true),
            Err(error) if is_absent_or_hidden(&error) => Ok(false),
            Err(error) => Err(self.failed("look for", path, &error)),
        }
    }

    /// Removes the object; one that is not there need not be removed.
    pub(in crate::archive) async fn remove(&self, key: &str) -> Result<(), SinkError> {
        let path = self.path(key);
        if let Place::Folder(folder) = &self.place {
            let removed = folder.remove_unfinished(&path).await;
            removed.map_err(|error| self.failed("remove what was left of", &path, &error))?;
        }
        match self.objects.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error) if fault::of(&error) == Fault::NoObject => Ok(()),
            Err(error) => Err(self.failed("remove", &path, &error)),
        }
    }

    /// Writes the object, over the one that may stand there.
    pub(super) async fn replace(&self, key: &str, kind: Kind, content: Bytes) -> Result<(), SinkError> {
        self.overwrite(&self.path(key), kind, content.into()).await.map(drop)
    }

    /// Gives a record new content if it still is the one that was read.
    ///
    /// A folder cannot do that in one step, so there it is done under a lock. Neither can a store that does not heed
    /// conditions or, as OSS, has none for this; so there it is looked at again just before.
    pub(in crate::archive) async fn update(
        &self,
        key: &str,
        content: Vec<u8>,
        read: &UpdateVersion,
    ) -> Result<Updated, SinkError> {
        let path = self.path(key);
        let content = Bytes::from(content);
        if let Place::Folder(folder) = &self.place {
            let updated = folder.update(&path, content, read.e_tag.clone()).await;
            return updated.map_err(|error| self.failed("write", &path, &error));
        }
        if self.heeds_versions.get() != Some(&true) {
            let now =
                self.objects.head(&path).await.map_err(|error| self.failed("look for", &path, &error))?;
            if now.e_tag != read.e_tag {
                return Ok(Updated::Changed);
            }
        }
        if !self.may_heed_versions(read) {
            return self.overwrite(&path, Kind::Record, content.into()).await.map(|_| Updated::Done);
        }
        match self.put_over(&path, content.clone(), read).await {
            Ok(()) => {
                self.find_out_whether_versions_are_heeded(&path, content, read).await;
                Ok(Updated::Done)
            }
            Err(Error::Precondition { .. } | Error::NotFound { .. }) => Ok(Updated::Changed),
            Err(error)
                if matches!(error, Error::NotImplemented { .. })
                    || fault::of(&error) == Fault::NotImplemented =>
            {
                self.heeds_versions.get_or_init(|| false);
                self.overwrite(&path, Kind::Record, content.into()).await.map(|_| Updated::Done)
            }
            Err(error) => Err(self.failed("write", &path, &error)),
        }
    }

    fn may_heed_versions(&self, read: &UpdateVersion) -> bool {
        let is_asked_so = self.bucket().is_some_and(|bucket| bucket.create_only.is_none());
        is_asked_so && read.e_tag.is_some() && self.heeds_versions.get() != Some(&false)
    }

    async fn put_over(&self, path: &Path, content: Bytes, version: &UpdateVersion) -> Result<(), Error> {
        let options = self.put_options(PutMode::Update(version.clone()), Kind::Record);
        self.objects.put_opts(path, content.into(), options).await.map(drop)
    }

    /// Writes the first record that was changed once more, with the same content, in the place of the version that is
    /// no longer there; which must fail.
    async fn find_out_whether_versions_are_heeded(&self, path: &Path, content: Bytes, old: &UpdateVersion) {
        if self.heeds_versions.get().is_some() {
            return;
        }
        match self.put_over(path, content, old).await {
            Ok(()) => self.heeds_versions.get_or_init(|| false),
            Err(Error::Precondition { .. }) => self.heeds_versions.get_or_init(|| true),
            // The next record that is changed will tell.
            Err(_) => return,
        };
    }
}

/// Of an object that is not there, S3 tells those who may not list the bucket no more than that they lack a right.
fn is_absent_or_hidden(error: &Error) -> bool {
    matches!(fault::of(error), Fault::NoObject | Fault::Denied)
}
