//! The object store below the archive: what is written to it and read from it, each failure told in one way.

mod fault;
mod probe;
mod upload;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::aws::AwsCredentialProvider;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use vodrelay_core::SinkError;

use self::fault::Fault;
pub(super) use self::fault::cause;
pub(super) use self::upload::Upload;

/// No object that is read at once is larger, in bytes: a record is a few times a body.
const WHOLE: u64 = 64 << 20;

/// An object store and the prefix inside it.
#[derive(Debug)]
pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What people call it, for messages.
    name: String,
    /// What a bucket has and a folder has not.
    bucket: Option<Bucket>,
    /// Whether the store heeds the condition of a conditional write, once that is known.
    heeds_conditions: OnceLock<bool>,
}

/// What a bucket has and a folder has not.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Whose keys sign the requests.
    pub(super) keys: AwsCredentialProvider,
    /// Told of keys that the store would not take.
    pub(super) refused: Option<aliyun_credentials::CredentialProvider>,
    /// The same bucket through a client whose every request carries a header that forbids to overwrite, for a store
    /// that has such a header instead of `If-None-Match`.
    pub(super) create_only: Option<Arc<dyn ObjectStore>>,
    /// The storage class of records; the bucket's own where absent.
    pub(super) record_class: Option<String>,
    /// The storage class of images; the bucket's own where absent.
    pub(super) image_class: Option<String>,
}

/// What an object is: a store is told its media type and gives each kind its storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record.
    Record,
    /// An image of this media type.
    Image(&'static str),
}

/// What became of an object that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It stands there now.
    New,
    /// It stood there before, and was left alone.
    Before,
}

/// An object as it is read: never more of it in memory than a piece.
pub(super) struct Reading {
    /// In bytes.
    pub(super) size: u64,
    pub(super) pieces: BoxStream<'static, Result<Bytes, Error>>,
}

impl Store {
    pub(super) fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: Path,
        name: String,
        bucket: Option<Bucket>,
    ) -> Self {
        Self { objects, prefix, name, bucket, heeds_conditions: OnceLock::new() }
    }

    /// Writes the object unless its key exists.
    ///
    /// # Errors
    /// As every method here: with what was asked of which object, and the cause.
    pub(super) async fn create(&self, key: &str, kind: Kind, content: Bytes) -> Result<Created, SinkError> {
        let path = self.path(key);
        if self.lacks_conditions() {
            return self.create_after_a_look(&path, kind, content).await;
        }
        let error = match self.put_new(&path, kind, content.clone()).await {
            Ok(()) => {
                self.find_out_whether_conditions_are_heeded(&path, kind, content).await;
                return Ok(Created::New);
            }
            Err(error) => error,
        };
        match fault::of(&error) {
            Fault::Exists => {
                self.heeds_conditions.get_or_init(|| true);
                Ok(Created::Before)
            }
            Fault::NotImplemented => {
                self.heeds_conditions.get_or_init(|| false);
                self.create_after_a_look(&path, kind, content).await
            }
            _ => Err(self.failed("write", &path, &error).await),
        }
    }

    /// Writes the object, over the one that may stand there.
    pub(super) async fn replace(&self, key: &str, kind: Kind, content: Bytes) -> Result<(), SinkError> {
        self.overwrite(&self.path(key), kind, content).await
    }

    /// Begins to write an object in parts, over the one that may stand there. Nothing of it can be seen before
    /// [`Upload::complete`].
    pub(super) async fn upload(&self, key: &str, kind: Kind) -> Result<Upload<'_>, SinkError> {
        Upload::begin(self, self.path(key), kind).await
    }

    /// Begins to read the object, if there is one.
    pub(super) async fn open(&self, key: &str) -> Result<Option<Reading>, SinkError> {
        let path = self.path(key);
        match self.objects.get(&path).await {
            Ok(found) => Ok(Some(Reading { size: found.meta.size, pieces: found.into_stream() })),
            Err(error) if fault::of(&error) == Fault::NoObject => Ok(None),
            Err(error) => Err(self.failed("read", &path, &error).await),
        }
    }

    /// Reads the whole object, if there is one.
    pub(super) async fn read(&self, key: &str) -> Result<Option<Bytes>, SinkError> {
        let Some(reading) = self.open(key).await? else { return Ok(None) };
        if reading.size > WHOLE {
            let message = format!(
                "{} in {} has {} bytes, more than any record",
                self.path(key),
                self.name,
                reading.size
            );
            return Err(SinkError::temporary(message));
        }
        let mut whole = Vec::with_capacity(usize::try_from(reading.size).unwrap_or(0));
        let mut pieces = reading.pieces;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => whole.extend_from_slice(&piece),
                Err(error) => return Err(self.unreadable(key, &error).await),
            }
        }
        Ok(Some(whole.into()))
    }

    /// What an error in the pieces of an object means.
    pub(super) async fn unreadable(&self, key: &str, error: &Error) -> SinkError {
        self.failed("read", &self.path(key), error).await
    }

    /// The folders right below this one, by name, in order.
    pub(super) async fn folders(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        let path = self.path(folder);
        let listed = match self.objects.list_with_delimiter(Some(&path)).await {
            Ok(listed) => listed,
            Err(error) => return Err(self.failed("list", &path, &error).await),
        };
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// The keys below this folder, page by page: in order where the store is a bucket.
    pub(super) fn keys<'s>(&'s self, folder: &str) -> BoxStream<'s, Result<String, SinkError>> {
        let path = self.path(folder);
        let listed = self.objects.list(Some(&path)).then(move |object| {
            let path = path.clone();
            async move {
                match object {
                    Ok(object) => Ok(self.key(&object.location)),
                    Err(error) => Err(self.failed("list", &path, &error).await),
                }
            }
        });
        listed.boxed()
    }

    async fn put_new(&self, path: &Path, kind: Kind, content: Bytes) -> Result<(), Error> {
        let create_only = self.bucket.as_ref().and_then(|bucket| bucket.create_only.as_ref());
        let (objects, mode) = match create_only {
            Some(objects) => (objects, PutMode::Overwrite),
            None => (&self.objects, PutMode::Create),
        };
        objects.put_opts(path, content.into(), self.put_options(mode, kind)).await.map(drop)
    }

    /// Creates the first object that was created a second time, which must fail. Whoever took a store's word for it
    /// would write over a record that calls its images kept with one that knows nothing of them.
    async fn find_out_whether_conditions_are_heeded(&self, path: &Path, kind: Kind, content: Bytes) {
        if self.bucket.is_none() || self.heeds_conditions.get().is_some() {
            return;
        }
        match self.put_new(path, kind, content).await {
            Ok(()) => self.heeds_conditions.get_or_init(|| false),
            Err(error) if fault::of(&error) == Fault::Exists => self.heeds_conditions.get_or_init(|| true),
            // The next object that is created will tell.
            Err(_) => return,
        };
    }

    /// As good as a store without conditions can do it: two who look at the same moment both write. Both then tell of
    /// the same event, so that nothing is lost but the time to fetch an image twice.
    async fn create_after_a_look(
        &self,
        path: &Path,
        kind: Kind,
        content: Bytes,
    ) -> Result<Created, SinkError> {
        match self.objects.head(path).await {
            Ok(_) => Ok(Created::Before),
            Err(error) if fault::of(&error) == Fault::NoObject => {
                self.overwrite(path, kind, content).await.map(|()| Created::New)
            }
            Err(error) => Err(self.failed("look for", path, &error).await),
        }
    }

    async fn overwrite(&self, path: &Path, kind: Kind, content: Bytes) -> Result<(), SinkError> {
        let options = self.put_options(PutMode::Overwrite, kind);
        match self.objects.put_opts(path, content.into(), options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("write", path, &error).await),
        }
    }

    fn lacks_conditions(&self) -> bool {
        self.heeds_conditions.get() == Some(&false)
    }

    fn put_options(&self, mode: PutMode, kind: Kind) -> PutOptions {
        PutOptions { mode, attributes: self.attributes(kind), ..PutOptions::default() }
    }

    /// What a bucket keeps beside an object. A folder has no place for it.
    fn attributes(&self, kind: Kind) -> Attributes {
        let Some(bucket) = &self.bucket else { return Attributes::default() };
        let (media_type, class) = match kind {
            Kind::Record => ("application/json", &bucket.record_class),
            Kind::Image(media_type) => (media_type, &bucket.image_class),
        };
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, media_type.into());
        if let Some(class) = class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    fn path(&self, key: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(key).parts()))
    }

    /// The key of an object that stands below the prefix.
    fn key(&self, path: &Path) -> String {
        let parts = path.prefix_match(&self.prefix).into_iter().flatten();
        parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
    }

    /// What the dispatcher and people are told of a failure. Where it is about the keys, they are named, and whoever
    /// keeps them fresh is told.
    async fn failed(&self, what: &str, path: &Path, error: &Error) -> SinkError {
        let fault = fault::of(error);
        let key = if fault.is_of_keys() { self.refused_key(fault).await } else { None };
        let mend = fault.mend(key.as_deref());
        let (colon, cause) = (if mend.is_empty() { "" } else { "; " }, cause(error));
        let message = format!("cannot {what} {path} in {}{colon}{mend}: {cause}", self.name);
        SinkError { status: fault::status_of(error), ..SinkError::temporary(message) }
    }

    async fn refused_key(&self, fault: Fault) -> Option<String> {
        let bucket = self.bucket.as_ref()?;
        if let (Some(provider), true) = (&bucket.refused, fault != Fault::Denied)
            && let Ok(current) = provider.credentials().await
        {
            provider.invalidate(&current);
        }
        bucket.keys.get_credential().await.ok().map(|keys| keys.key_id.clone())
    }
}
