//! What stands in the store, by name.

use futures_util::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore};
use vodrelay_core::SinkError;

use super::Store;

impl Store {
    /// The folders right below this one, by name, in order.
    pub(in crate::archive) async fn folders(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        let path = self.path(folder);
        let listed = self.objects.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|error| self.failed("list", &path, &error))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    /// The keys below this folder, page by page: in order where the store is a bucket.
    pub(in crate::archive) fn keys<'s>(&'s self, folder: &str) -> BoxStream<'s, Result<String, SinkError>> {
        let path = self.path(folder);
        let listed = self.objects.list(Some(&path)).filter_map(move |object| {
            std::future::ready(match object {
                Ok(object) => Some(Ok(self.key(&object.location))),
                // Nothing of ours has a name that cannot be read, and it hides nothing of ours.
                Err(Error::InvalidPath { .. }) => None,
                Err(error) => Some(Err(self.failed("list", &path, &error))),
            })
        });
        listed.boxed()
    }

    /// The key of an object that stands below the prefix.
    fn key(&self, path: &Path) -> String {
        let parts = path.prefix_match(&self.prefix).into_iter().flatten();
        parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
    }
}
