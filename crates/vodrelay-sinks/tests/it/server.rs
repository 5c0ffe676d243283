//! A real S3 server that none of us wrote, in this process: s3s-fs on a port of its own, with a folder behind it.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "test-key-id";
pub(crate) const SECRET: &str = "test-secret";

/// The server; what it keeps goes with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Starts a server that has these buckets.
    pub(crate) async fn start(buckets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for bucket in buckets {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        tokio::spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            while let Ok((stream, _)) = listener.accept().await {
                let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
                tokio::spawn(async move { connection.await.map_err(drop) });
            }
        });
        Self { port, folder }
    }

    /// Options of an archive in this bucket, below a prefix.
    pub(crate) fn options(&self, bucket: &str) -> Value {
        json!({"url": format!("s3://{bucket}/some/prefix"), "endpoint": format!("http://127.0.0.1:{}", self.port),
               "path_style": true, "region": "eu-1", "access_key_id": KEY, "secret_access_key": SECRET})
    }
}
