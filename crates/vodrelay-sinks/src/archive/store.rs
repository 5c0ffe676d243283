//! The object store below the archive, and what its errors mean.

mod objects;
mod upload;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use vodrelay_core::SinkError;

pub(super) use self::objects::Updated;

/// How much of a store's error is kept, in characters: some answer with pages of XML.
const EXCERPT: usize = 400;

/// An object store and the prefix inside it.
#[derive(Debug)]
pub(super) struct Store {
    objects: Box<dyn ObjectStore>,
    prefix: Path,
    /// What people call it, for messages.
    name: String,
}

/// What became of an object that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It stands there now, in this version.
    New(UpdateVersion),
    /// It stood there before, and was left alone.
    Before,
}

impl Store {
    pub(super) fn new(objects: Box<dyn ObjectStore>, prefix: Path, name: String) -> Self {
        Self { objects, prefix, name }
    }

    /// Writes the object unless its key exists.
    pub(super) async fn create(&self, key: &str, content: PutPayload) -> Result<Created, SinkError> {
        let path = self.path(key);
        let create = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&path, content, create).await {
            Ok(written) => Ok(Created::New(written.into())),
            Err(Error::AlreadyExists { .. }) => Ok(Created::Before),
            Err(error) => Err(self.failed("write", &path, &error)),
        }
    }

    /// Finds out whether objects can be written and read.
    pub(super) async fn probe(&self, content: String) -> Result<(), SinkError> {
        let path = self.path(".vodrelay-check");
        let written = content.clone().into_bytes();
        self.objects.put(&path, written.into()).await.map_err(|error| self.failed("write", &path, &error))?;
        let read = self.objects.get(&path).await.map_err(|error| self.failed("read", &path, &error))?;
        let read = read.bytes().await.map_err(|error| self.failed("read", &path, &error))?;
        // A key that may write and not delete is a good key for an archive.
        let _ = self.objects.delete(&path).await;
        if read == content { Ok(()) } else { Err(SinkError::temporary(self.strange(&path))) }
    }

    fn path(&self, key: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(key).parts()))
    }

    fn strange(&self, path: &Path) -> String {
        format!("{} gave back other bytes for {path} than were written a moment ago", self.name)
    }

    /// Nothing a store says is for ever: keys, buckets and rights get mended, and the record fits then.
    fn failed(&self, what: &str, path: &Path, error: &Error) -> SinkError {
        let mend = match error {
            Error::PermissionDenied { .. } => "; the key lacks the right to do so",
            Error::Unauthenticated { .. } => "; the store does not accept the key",
            Error::NotFound { .. } => "; does the bucket exist?",
            _ => "",
        };
        let cause: String = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let cause: String = cause.chars().take(EXCERPT).collect();
        SinkError::temporary(format!("cannot {what} {path} in {}{mend}: {cause}", self.name))
    }
}
