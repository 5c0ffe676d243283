//! A host of images that remembers which it was asked for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vodrelay_core::testing::Picture;

/// The host.
#[derive(Clone, Debug)]
pub(super) struct Cdn {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<usize>>>,
    /// One is the listener's, the others are connections.
    connections: Weak<()>,
}

impl Cdn {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (asked, listening) = (Arc::<Mutex<Vec<usize>>>::default(), Arc::new(()));
        let cdn = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::clone(&asked),
            connections: Arc::downgrade(&listening),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, connection) = (Arc::clone(&asked), Arc::clone(&listening));
                tokio::spawn(async move {
                    // A client that was killed has broken the connection.
                    let _ = serve(stream, &asked).await;
                    drop(connection);
                });
            }
        });
        cdn
    }

    /// The numbers of the pictures that were asked for, in that order.
    pub(super) fn asked(&self) -> Vec<usize> {
        self.asked.lock().unwrap().clone()
    }

    /// Whether nobody is connected.
    pub(super) fn is_quiet(&self) -> bool {
        self.connections.strong_count() == 1
    }
}

async fn serve(mut stream: TcpStream, asked: &Mutex<Vec<usize>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await? > 0 {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let path = str::from_utf8(&request).unwrap().split(' ').nth(1).unwrap();
        let picture = Picture::at(path).unwrap();
        asked.lock().unwrap().push(picture.number);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", picture.size);
        stream.write_all(head.as_bytes()).await?;
        for chunk in picture.chunks() {
            stream.write_all(&chunk).await?;
        }
        request.clear();
    }
    Ok(())
}
