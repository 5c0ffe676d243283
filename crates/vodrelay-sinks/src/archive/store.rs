//! The object store below the archive: what is created in it, under which conditions, and how a failure is told.

mod completion;
mod fault;
mod folder;
mod listing;
mod objects;
mod probe;
mod upload;

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use object_store::aws::AwsCredentialProvider;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use vodrelay_core::SinkError;

pub(super) use self::completion::SparingCompletion;
use self::fault::Fault;
pub(super) use self::fault::cause;
pub(super) use self::folder::{Folder, ThreadsOfFolders};
pub(super) use self::objects::{Reading, Updated, WHOLE};

/// An object store and the prefix inside it.
#[derive(Debug)]
pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What people call it, for messages.
    name: String,
    place: Place,
    /// Whether the store heeds `If-None-Match` on a write, once that is known.
    heeds_conditions: OnceLock<bool>,
    /// The same of `If-Match`.
    heeds_versions: OnceLock<bool>,
}

/// What kind of store it is.
#[derive(Debug)]
pub(super) enum Place {
    Bucket(Bucket),
    Folder(Folder),
}

/// What a bucket has and a folder has not.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Where it is asked for.
    pub(super) asked: Asked,
    /// Whose keys sign the requests.
    pub(super) keys: AwsCredentialProvider,
    /// Told of keys that the store would not take.
    pub(super) refused: Option<aliyun_credentials::CredentialProvider>,
    /// The same bucket through a client whose every request carries a header that forbids to overwrite, for a store
    /// that has such a header instead of conditions.
    pub(super) create_only: Option<Arc<dyn ObjectStore>>,
    /// The storage class of records; the bucket's own where absent.
    pub(super) record_class: Option<String>,
    /// The storage class of images; the bucket's own where absent.
    pub(super) image_class: Option<String>,
}

/// Whom requests to a bucket go to.
#[derive(Debug)]
pub(super) struct Asked {
    /// The host, with the bucket where it stands there.
    pub(super) host: String,
    /// What to do where it has no address.
    pub(super) mend: &'static str,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It stands there now, in this version.
    New(UpdateVersion),
    /// It stood there before, and was left alone.
    Before,
}

impl Store {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, prefix: Path, name: String, place: Place) -> Self {
        let (heeds_conditions, heeds_versions) = (OnceLock::new(), OnceLock::new());
        Self { objects, prefix, name, place, heeds_conditions, heeds_versions }
    }

    /// Writes the object unless its key exists.
    ///
    /// # Errors
    /// As every method here: with what was asked of which object, and the cause.
    pub(super) async fn create(
        &self,
        key: &str,
        kind: Kind,
        content: PutPayload,
    ) -> Result<Created, SinkError> {
        let path = self.path(key);
        if self.lacks_conditions() {
            return self.create_after_a_look(&path, kind, content).await;
        }
        // Whoever took a store's word for it would write over a record that calls its images kept with one that knows
        // nothing of them.
        if self.heeds_conditions.get().is_none() && self.bucket().is_some() {
            match self.objects.head(&path).await {
                // Something that is no store says yes to everything, and has no ETag for it.
                Ok(found) if found.e_tag.is_some() => return Ok(Created::Before),
                Err(error) if fault::is_of_the_moment(&error) => {
                    return Err(self.failed("write", &path, &error));
                }
                // The write says better why, where something is wrong.
                _ => {}
            }
        }
        let error = match self.put_new(&path, kind, content.clone()).await {
            Ok(version) => {
                self.find_out_whether_conditions_are_heeded(&path, kind, content).await;
                return Ok(Created::New(version));
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
            _ => Err(self.failed("write", &path, &error)),
        }
    }

    async fn put_new(&self, path: &Path, kind: Kind, content: PutPayload) -> Result<UpdateVersion, Error> {
        if let (Place::Folder(_), Kind::Image(_)) = (&self.place, kind) {
            let put = folder::put(self.objects.as_ref(), &Folder::staged(&self.prefix), path, content).await;
            return put.map(|()| UpdateVersion { e_tag: None, version: None });
        }
        let (objects, mode) = match self.create_only() {
            Some(objects) => (objects, PutMode::Overwrite),
            None => (&self.objects, PutMode::Create),
        };
        objects.put_opts(path, content, self.put_options(mode, kind)).await.map(UpdateVersion::from)
    }

    /// Creates the first object that was created a second time, which must fail.
    async fn find_out_whether_conditions_are_heeded(&self, path: &Path, kind: Kind, content: PutPayload) {
        if self.bucket().is_none() || self.heeds_conditions.get().is_some() {
            return;
        }
        match self.put_new(path, kind, content).await {
            Ok(_) => self.heeds_conditions.get_or_init(|| false),
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
        content: PutPayload,
    ) -> Result<Created, SinkError> {
        match self.objects.head(path).await {
            Ok(_) => Ok(Created::Before),
            Err(error) if fault::of(&error) == Fault::NoObject => {
                self.overwrite(path, kind, content).await.map(Created::New)
            }
            Err(error) => Err(self.failed("look for", path, &error)),
        }
    }

    async fn overwrite(
        &self,
        path: &Path,
        kind: Kind,
        content: PutPayload,
    ) -> Result<UpdateVersion, SinkError> {
        let options = self.put_options(PutMode::Overwrite, kind);
        let written = self.objects.put_opts(path, content, options).await;
        written.map(UpdateVersion::from).map_err(|error| self.failed("write", path, &error))
    }

    fn lacks_conditions(&self) -> bool {
        self.heeds_conditions.get() == Some(&false)
    }

    fn bucket(&self) -> Option<&Bucket> {
        match &self.place {
            Place::Bucket(bucket) => Some(bucket),
            Place::Folder(_) => None,
        }
    }

    fn create_only(&self) -> Option<&Arc<dyn ObjectStore>> {
        self.bucket().and_then(|bucket| bucket.create_only.as_ref())
    }

    fn put_options(&self, mode: PutMode, kind: Kind) -> PutOptions {
        PutOptions { mode, attributes: self.attributes(kind), ..PutOptions::default() }
    }

    /// What a bucket keeps beside an object. A folder has no place for it.
    fn attributes(&self, kind: Kind) -> Attributes {
        let Some(bucket) = self.bucket() else { return Attributes::default() };
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

    /// Whether the folder is there, where it is one, on the thread that asks.
    pub(super) fn look_for_folder(&self) -> Result<(), String> {
        let Place::Folder(_) = &self.place else { return Ok(()) };
        let found = std::fs::read_dir(&self.name);
        found.map(drop).map_err(|error| format!("cannot use the folder {}: {error}", self.name))
    }

    /// Where it stands, for messages and to tell places apart.
    pub(super) fn place(&self) -> String {
        let name = match &self.place {
            Place::Bucket(_) => self.name.clone(),
            // Different ways to write the way to one folder.
            Place::Folder(folder) => folder.place().display().to_string(),
        };
        if self.prefix.as_ref().is_empty() { name } else { format!("{name}, below {}", self.prefix) }
    }

    fn path(&self, key: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(key).parts()))
    }

    /// What the dispatcher and people are told of a failure. Where it is about the keys, they are named, and whoever
    /// keeps them fresh is told.
    fn failed(&self, what: &str, path: &Path, error: &Error) -> SinkError {
        let fault = fault::of(error);
        let key = if fault.is_of_keys() { self.refused_key(fault) } else { None };
        let asked = self.bucket().map(|bucket| &bucket.asked);
        let mend = fault.mend(key.as_deref(), asked);
        let semicolon = if mend.is_empty() { "" } else { "; " };
        let message = format!("cannot {what} {path} in {}{semicolon}{mend}: {}", self.name, cause(error));
        SinkError { status: fault::status_of(error), ..SinkError::temporary(message) }
    }

    /// The access key of a request that was refused a moment ago. It is at hand, so nobody waits for it.
    fn refused_key(&self, fault: Fault) -> Option<String> {
        let bucket = self.bucket()?;
        if let (Some(provider), true) = (&bucket.refused, fault != Fault::Denied)
            && let Some(Ok(current)) = provider.credentials().now_or_never()
        {
            provider.invalidate(&current);
        }
        let keys = bucket.keys.get_credential().now_or_never()?.ok()?;
        Some(keys.key_id.clone())
    }
}
