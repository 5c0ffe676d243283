//! The connections: HTTP/1.1 with keep-alive, and whether a client is still there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::{RecvFlags, recv};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::{Closed, Pieces, plain};
use crate::control;
use crate::request::Request;
use crate::service::Service;

/// Sixteen bodies of 4 KiB with every character escaped stay far below this, and so does a full set of properties.
const BODY_LIMIT: usize = 8 << 20;

/// Serves until `stop`; then every connection is cut off.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let serving = converse(stream, Arc::clone(&service));
                    let stop = stop.clone();
                    tasks.spawn(async move { stop.run_until_cancelled(serving).await });
                }
                Err(error) => tracing::warn!(error = %error, "failed to accept a connection"),
            }
        }
    };
    stop.run_until_cancelled(accepting).await.unwrap_or(());
    tasks.close();
    tasks.wait().await;
}

async fn converse(stream: TcpStream, service: Arc<Service>) {
    let _ = stream.set_nodelay(true);
    let Ok(presence) = Presence::of(&stream) else { return };
    let presence = Arc::new(presence);
    let answering = service_fn(move |request| {
        let (service, presence) = (Arc::clone(&service), Arc::clone(&presence));
        async move { answer(request, &service, &presence).await.ok_or(Closed) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    service: &Service,
    presence: &Presence,
) -> Option<Response<Pieces>> {
    let (head, incoming) = request.into_parts();
    // A client that speaks to a proxy sends the whole URL; what it signs is path and query.
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let body: Bytes = match Limited::new(incoming, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Some(plain(413, "text/plain", "the body is too large, or did not arrive whole")),
    };
    let request = Request { method: head.method, target, headers: head.headers, body };
    match control::answer(&request, service) {
        Some(response) => Some(response),
        None => service.answer(&request, presence).await,
    }
}

/// Tells whether the client of a connection is still there.
#[derive(Debug)]
pub(crate) struct Presence(OwnedFd);

impl Presence {
    /// Holds the socket a second time: whoever holds this must let it go with the connection.
    fn of(stream: &TcpStream) -> std::io::Result<Self> {
        stream.as_fd().try_clone_to_owned().map(Self)
    }

    /// Asks the kernel, since the end of a connection may have arrived and not been looked at yet.
    pub(crate) fn is_gone(&self) -> bool {
        let mut byte = [0_u8];
        match recv(&self.0, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, length)) => length == 0,
            Err(error) => error != rustix::io::Errno::AGAIN,
        }
    }
}
