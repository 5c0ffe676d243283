//! Whoever answers in the place of the service.

use std::sync::Arc;
use std::time::Duration;

use mns_client::{ErrorKind, Retry};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::script::client;

#[tokio::test]
async fn a_certificate_that_nobody_known_has_signed_is_a_kind_of_its_own() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let queue = client(&endpoint, Retry::default()).queue("q".parse().unwrap());
    let error = queue.receive(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_happened()), (ErrorKind::Certificate, false), "{error}");
    assert!(error.to_string().contains(&endpoint), "{error}");
}
