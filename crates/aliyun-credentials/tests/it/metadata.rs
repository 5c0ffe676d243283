//! A stand-in for the metadata service that plays a script: bytes out are what a closure says, bytes in are kept.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the service does with a request.
pub(crate) enum Play {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Keeps the connection open and says nothing.
    Hang,
}

/// A service, and the heads of the requests that it saw.
pub(crate) struct Service {
    pub(crate) endpoint: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Starts a service that answers what `play` says to the head of each request.
    pub(crate) async fn start(play: impl Fn(&str) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (seen, play) = (Arc::clone(&heads), Arc::new(play));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&seen), Arc::clone(&play)));
            }
        });
        Self { endpoint, heads }
    }

    /// The request lines, in their order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.heads().iter().map(|head| head.lines().next().unwrap().to_owned()).collect()
    }

    /// The heads, as they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// An answer with that status and body.
pub(crate) fn answer(status: &str, body: &str) -> Play {
    Play::Send(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

async fn converse(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    play: Arc<impl Fn(&str) -> Play + Send + Sync>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let head = String::from_utf8(head).unwrap();
    let played = play(&head);
    seen.lock().unwrap().push(head);
    match played {
        // The reader may have hung up in the middle, which some tests want.
        Play::Send(bytes) => drop(stream.write_all(&bytes).await),
        Play::Hang => std::future::pending().await,
    }
}
