//! An object that is written in parts. It stands in the store once it is completed, whole; before that nobody sees it.

use std::fmt;

use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use vodrelay_core::SinkError;

use super::fault::{self, Fault};
use super::{Folder, Kind, Place, Store, folder};

/// A multipart upload. Dropped before it is completed, it is given up, and the store told so.
pub(in crate::archive) struct Upload<'s> {
    store: &'s Store,
    path: Path,
    /// In a folder, where it stands until it is whole.
    staged: Option<Path>,
    /// Taken when it is completed or given up.
    parts: Option<Box<dyn MultipartUpload>>,
    /// The part that is on its way.
    under_way: Option<JoinHandle<object_store::Result<()>>>,
}

impl Store {
    /// Begins an object of several parts.
    pub(in crate::archive) async fn upload(&self, key: &str, kind: Kind) -> Result<Upload<'_>, SinkError> {
        let path = self.path(key);
        let staged = matches!(self.place, Place::Folder(_)).then(|| Folder::staged(&self.prefix));
        let options =
            PutMultipartOptions { attributes: self.attributes(kind), ..PutMultipartOptions::default() };
        let parts = self.objects.put_multipart_opts(staged.as_ref().unwrap_or(&path), options).await;
        let parts = parts.map_err(|error| self.failed("begin to write", &path, &error))?;
        Ok(Upload { store: self, path, staged, parts: Some(parts), under_way: None })
    }
}

impl Upload<'_> {
    /// Sends the next part, once the one before it has arrived: at most one is on its way while another is filled.
    pub(in crate::archive) async fn part(&mut self, part: PutPayload) -> Result<(), SinkError> {
        self.arrived().await?;
        if let Some(parts) = &mut self.parts {
            self.under_way = Some(tokio::spawn(parts.put_part(part)));
        }
        Ok(())
    }

    /// Has the object stand in the store, unless another one does already: then it is given up. Says whether it stands
    /// there now.
    ///
    /// The store is asked to spare what is there. One that does not heed that has been looked at just before.
    pub(in crate::archive) async fn complete(mut self) -> Result<bool, SinkError> {
        self.arrived().await?;
        if self.store.has(&self.path).await? {
            return Ok(false);
        }
        match self.try_to_complete().await {
            Ok(()) => Ok(true),
            Err(error) if fault::of(&error) == Fault::Exists => Ok(false),
            Err(error) => Err(self.store.failed("complete", &self.path, &error)),
        }
    }

    async fn try_to_complete(&mut self) -> Result<(), Error> {
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        self.parts = None;
        match &self.staged {
            Some(staged) => folder::publish(self.store.objects.as_ref(), staged, &self.path).await,
            None => Ok(()),
        }
    }

    async fn arrived(&mut self) -> Result<(), SinkError> {
        let Some(under_way) = &mut self.under_way else { return Ok(()) };
        let arrived = under_way.await;
        self.under_way = None;
        match arrived {
            Ok(arrived) => arrived.map_err(|error| self.store.failed("write a part of", &self.path, &error)),
            Err(error) => {
                let message = format!("cannot write a part of {} in {}: {error}", self.path, self.store.name);
                Err(SinkError::temporary(message))
            }
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let (Some(mut parts), Ok(runtime)) = (self.parts.take(), Handle::try_current()) else { return };
        let (path, under_way) = (self.path.clone(), self.under_way.take());
        // Parts that are left behind cost money and are in no listing.
        runtime.spawn(async move {
            if let Some(under_way) = under_way {
                under_way.abort();
                let _ = under_way.await;
            }
            if let Err(error) = parts.abort().await {
                tracing::warn!(key = %path, %error, "parts of an upload that was given up may be left in the store; have its lifecycle rule remove incomplete uploads");
            }
        });
    }
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).finish_non_exhaustive()
    }
}
