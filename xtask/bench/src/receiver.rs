//! A service that takes webhooks, as light as can be: it answers 200 to whatever arrives, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::baseline::{announce, until_input_ends};

/// Serves until its standard input ends; prints its port first. A GET is answered with the count of POSTs.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    announce(&listener)?;
    let received = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&received)));
        }
    });
    until_input_ends().await
}

/// A client that breaks the connection is done with it.
async fn serve(mut stream: TcpStream, received: Arc<AtomicU64>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let Some(length) = request_length(&buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        if buffer.starts_with(b"GET") {
            let count = received.load(Ordering::Relaxed).to_string();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{count}", count.len());
            return stream.write_all(answer.as_bytes()).await;
        }
        received.fetch_add(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        buffer.drain(..length);
    }
}

/// The length of the first request in the buffer, once it is all there.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = str::from_utf8(buffer.get(..head)?).ok()?;
    let length = text.lines().filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body: usize = length.next().map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    (buffer.len() >= head + body).then_some(head + body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_its_body() {
        let check = |bytes: &str, expected| assert_eq!(request_length(bytes.as_bytes()), expected, "{bytes}");
        check("GET / HTTP/1.1\r\n\r\n", Some(18));
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", Some(40));
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", None);
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n", None);
    }
}
