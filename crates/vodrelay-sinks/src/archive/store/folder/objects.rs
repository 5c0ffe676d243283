//! The folder as an object store. Outside a runtime the store of the library does its work on the thread that asks, so it
//! is asked on threads of the folder's own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

use super::threads::{Held, Threads};
use super::{Folder, of_folder};

/// How many objects of a listing, or pieces of 8 KiB of an object, are read in one operation.
const AT_ONCE: usize = 128;

impl Folder {
    /// Does it on a thread, in the folder as it is there.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&LocalFileSystem) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        self.0.threads.run(move || operation(inner.objects()?)).await.map_err(of_folder)?
    }
}

/// What the store of the library has done at once, there being no runtime.
pub(super) fn now<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.now_or_never().unwrap_or_else(|| Err(waits()))
}

fn waits() -> Error {
    Error::Generic { store: "folder", source: "the operation waits for a runtime; this is a bug".into() }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(&self, at: &Path, content: PutPayload, options: PutOptions) -> Result<PutResult> {
        let at = at.clone();
        self.work(move |objects| now(objects.put_opts(&at, content, options))).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (at, threads) = (at.clone(), Arc::clone(&self.0.threads));
        let begin = move |objects: &LocalFileSystem| {
            let parts = now(objects.put_multipart_opts(&at, options))?;
            Ok(Upload { parts: Some(Held::new(parts, Arc::clone(&threads))), threads })
        };
        Ok(Box::new(self.work(begin).await?))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let (at, threads) = (at.clone(), Arc::clone(&self.0.threads));
        self.work(move |objects| {
            let found = now(objects.get_opts(&at, options))?;
            let (meta, range) = (found.meta.clone(), found.range.clone());
            let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
            let chunks = Held::new(found.into_stream(), Arc::clone(&threads));
            let payload = GetResultPayload::Stream(in_steps(chunks, threads));
            Ok(GetResult { payload, meta, range, attributes, extensions })
        })
        .await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let folder = self.clone();
        let deleted = keys.then(move |key| {
            let folder = folder.clone();
            async move {
                let key = key?;
                folder.work(move |objects| now(objects.delete(&key)).map(|()| key)).await
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (folder, prefix) = (self.clone(), prefix.cloned());
        let begin = async move {
            let threads = Arc::clone(&folder.0.threads);
            let begun = folder.work(move |objects| {
                let listing = Held::new(objects.list(prefix.as_ref()), Arc::clone(&threads));
                Ok(in_steps(listing, threads))
            });
            begun.await.unwrap_or_else(|error| futures_util::stream::iter([Err(error)]).boxed())
        };
        futures_util::stream::once(begin).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.work(move |objects| now(objects.list_with_delimiter(prefix.as_ref()))).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.work(move |objects| now(objects.copy_opts(&from, &to, options))).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.work(move |objects| now(objects.rename_opts(&from, &to, options))).await
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.root.display())
    }
}

type Blocking<T> = Held<BoxStream<'static, Result<T>>>;

/// The items of a stream that blocks, taken out of it on threads.
fn in_steps<T: Send + 'static>(stream: Blocking<T>, threads: Arc<Threads>) -> BoxStream<'static, Result<T>> {
    let begin = (Some(stream), VecDeque::new());
    let next = move |(mut stream, mut items): (Option<Blocking<T>>, VecDeque<Result<T>>)| {
        let threads = Arc::clone(&threads);
        async move {
            if items.is_empty()
                && let Some(blocking) = stream.take()
            {
                match threads.run(move || step(blocking)).await {
                    Ok(stepped) => (stream, items) = stepped,
                    Err(silence) => items.push_back(Err(of_folder(silence))),
                }
            }
            items.pop_front().map(|item| (item, (stream, items)))
        }
    };
    futures_util::stream::unfold(begin, next).boxed()
}

/// Some items, and the rest if there is any.
fn step<T: Send + 'static>(mut stream: Blocking<T>) -> (Option<Blocking<T>>, VecDeque<Result<T>>) {
    let mut items = VecDeque::new();
    while items.len() < AT_ONCE
        && let Some(blocking) = stream.get()
    {
        match blocking.next().now_or_never() {
            Some(Some(item)) => items.push_back(item),
            Some(None) => return (None, items),
            None => {
                items.push_back(Err(waits()));
                return (None, items);
            }
        }
    }
    (Some(stream), items)
}

/// An upload whose parts are written on threads.
#[derive(Debug)]
struct Upload {
    parts: Option<Held<Box<dyn MultipartUpload>>>,
    threads: Arc<Threads>,
}

impl Upload {
    /// Ends it. The file is closed on the thread.
    async fn end<T: Send + 'static>(
        &mut self,
        end: impl FnOnce(&mut dyn MultipartUpload) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut parts = self.parts.take();
        let end = move || match parts.as_mut().and_then(Held::get) {
            Some(parts) => end(parts.as_mut()),
            None => Err(ended()),
        };
        self.threads.run(end).await.map_err(of_folder)?
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, content: PutPayload) -> UploadPart {
        let Some(parts) = self.parts.as_mut().and_then(Held::get) else {
            return std::future::ready(Err(ended())).boxed();
        };
        let (part, threads) = (parts.put_part(content), Arc::clone(&self.threads));
        async move { threads.run(move || now(part)).await.map_err(of_folder)? }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.end(|parts| now(parts.complete())).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.end(|parts| now(parts.abort())).await
    }
}

fn ended() -> Error {
    Error::Generic { store: "folder", source: "the upload has ended before".into() }
}
