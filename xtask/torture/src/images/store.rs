//! A store that none of us wrote, s3s-fs, in this process, so that it outlives each relay.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(super) const BUCKET: &str = "archive";
pub(super) const KEY: &str = "test-key-id";
pub(super) const SECRET: &str = "test-secret";

/// The store; what it keeps goes with it.
pub(super) struct Store {
    pub(super) address: SocketAddr,
    folder: TempDir,
    /// One is the listener's, the others are connections.
    connections: Weak<()>,
}

impl Store {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, listening) = (listener.local_addr().unwrap(), Arc::new(()));
        let connections = Arc::downgrade(&listening);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, connection) = (service.clone(), Arc::clone(&listening));
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that was killed has broken the connection.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    drop(connection);
                });
            }
        });
        Self { address, folder, connections }
    }

    /// The folder of the bucket.
    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    /// Whether nobody is connected.
    pub(super) fn is_quiet(&self) -> bool {
        self.connections.strong_count() == 1
    }
}
