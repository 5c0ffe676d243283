//! The store that images go to: s3s-fs, an S3 server that none of us wrote, with a folder behind it.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

use crate::baseline::{announce, until_input_ends};

pub(crate) const KEY: &str = "bench-key-id";
pub(crate) const SECRET: &str = "bench-secret";
pub(crate) const REGION: &str = "eu-1";

/// Serves the buckets in that folder until its standard input ends; prints its port first.
#[tokio::main]
pub(crate) async fn run(folder: &str) -> Result<(), String> {
    let files = FileSystem::new(folder).map_err(|error| format!("cannot use {folder}: {error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    announce(&listener)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                // A connection that breaks is the client's to tell.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    until_input_ends().await
}
