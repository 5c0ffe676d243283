//! A real S3 server that none of us wrote, in this process: s3s-fs on a port of its own, with a folder behind it.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

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
        Self::start_with(buckets, None).await
    }

    /// Starts a server that speaks TLS; gives back the certificate to trust, in PEM.
    pub(crate) async fn start_tls(buckets: &[&str]) -> (Self, String) {
        // Another test may have chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
            .unwrap();
        (Self::start_with(buckets, Some(Arc::new(config).into())).await, made.cert.pem())
    }

    async fn start_with(buckets: &[&str], tls: Option<TlsAcceptor>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for bucket in buckets {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, tls) = (service.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, service).await,
                        // A client that does not trust us has gone.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, service).await;
                            }
                        }
                    }
                });
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

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S3Service) {
    let connection =
        Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).into_owned();
    // A connection that breaks is the client's to tell.
    let _ = connection.await;
}
