//! What archiving images is measured against: a plain copy from the host into the store by the same clients, four at a
//! time. It checks nothing, hashes nothing but what the store's client does, and tells nobody.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::task::JoinSet;
use vodrelay_core::testing::Picture;

use crate::archive::{AT_A_TIME, COPIES};
use crate::store::{KEY, REGION, SECRET};

/// As the archive has it: up to here an image is put at once, above in parts.
const AT_ONCE: usize = 8 << 20;
const PART: usize = 5 << 20;

/// Copies the pictures of these numbers, the last one left out.
#[tokio::main]
pub(crate) async fn run(cdn: &str, store: &str, first: &str, after: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text:?} is no number"));
    let numbers = number(first)?..number(after)?;
    let cdn = cdn.parse().map_err(|_| format!("{cdn:?} is no address"))?;
    let copy = Arc::new(Copy::new(cdn, store, numbers)?);
    let mut workers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        workers.spawn(Arc::clone(&copy).work());
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|error| error.to_string())??;
    }
    Ok(())
}

struct Copy {
    http: reqwest::Client,
    store: AmazonS3,
    cdn: SocketAddr,
    next: AtomicUsize,
    after: usize,
}

impl Copy {
    fn new(cdn: SocketAddr, store: &str, numbers: Range<usize>) -> Result<Self, String> {
        // Nothing can have chosen another before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().http1_only().build();
        let store = AmazonS3Builder::new()
            .with_bucket_name(COPIES)
            .with_endpoint(format!("http://{store}"))
            .with_region(REGION)
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout_disabled())
            .build();
        Ok(Self {
            http: http.map_err(|error| error.to_string())?,
            store: store.map_err(|error| error.to_string())?,
            cdn,
            next: AtomicUsize::new(numbers.start),
            after: numbers.end,
        })
    }

    async fn work(self: Arc<Self>) -> Result<(), String> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.after {
                return Ok(());
            }
            self.picture(Picture::new(number)).await.map_err(|error| format!("picture {number}: {error}"))?;
        }
    }

    async fn picture(&self, picture: Picture) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut response = self.http.get(picture.url(self.cdn)).send().await?.error_for_status()?;
        let path = Path::from(picture.number.to_string());
        if picture.size <= AT_ONCE {
            let mut chunks: Vec<Bytes> = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                chunks.push(chunk);
            }
            self.store.put(&path, PutPayload::from_iter(chunks)).await?;
            return Ok(());
        }
        let mut upload = WriteMultipart::new_with_chunk_size(self.store.put_multipart(&path).await?, PART);
        while let Some(chunk) = response.chunk().await? {
            // One part is on its way while the next is filled.
            upload.wait_for_capacity(1).await?;
            upload.put(chunk);
        }
        upload.finish().await?;
        Ok(())
    }
}
