//! A host of images, as light as can be: it makes each while it sends it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vodrelay_core::testing::Picture;

use crate::baseline::{announce, until_input_ends};

/// Serves until its standard input ends; prints its port first.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    announce(&listener)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    until_input_ends().await
}

/// A client that breaks the connection is done with it.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4 << 10);
    loop {
        if !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
            continue;
        }
        let Some(picture) = asked(&request) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", picture.size);
        stream.write_all(head.as_bytes()).await?;
        for chunk in picture.chunks() {
            stream.write_all(&chunk).await?;
        }
        request.clear();
    }
}

fn asked(request: &[u8]) -> Option<Picture> {
    let path = str::from_utf8(request).ok()?.strip_prefix("GET ")?.split(' ').next()?;
    Picture::at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_picture() {
        let picture = Picture { number: 7, size: 1000 };
        assert_eq!(asked(b"GET /7-1000.webp HTTP/1.1\r\n\r\n"), Some(picture));
        assert_eq!(asked(b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(asked(b"POST /7-1000.webp HTTP/1.1\r\n\r\n"), None);
    }
}
