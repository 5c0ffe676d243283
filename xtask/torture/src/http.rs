//! As much of HTTP/1.1 as sender and receiver need: messages with a head and a `content-length`.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message that either side has a use for.
const MOST: usize = 4 << 20;

/// One message, as it came.
#[derive(Debug)]
pub(crate) struct Message {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads the next one; none where the other side has nothing more to say, or makes no sense.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Self> {
        loop {
            if let Some(message) = Self::take(buffer) {
                return Some(message);
            }
            if buffer.len() > MOST || stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Takes the first one out of the buffer, once it is all there.
    fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = str::from_utf8(buffer.get(..head)?).ok()?.to_owned();
        let mut message = Self { head: text, body: Vec::new() };
        let length: usize = message.header("content-length").map_or(Some(0), |value| value.parse().ok())?;
        message.body = buffer.get(head..head + length)?.to_vec();
        buffer.drain(..head + length);
        Some(message)
    }

    /// What an answer says of what came of it.
    pub(crate) fn status(&self) -> Option<u16> {
        self.head.split(' ').nth(1)?.parse().ok()
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_once_it_is_whole() {
        let mut buffer = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na".to_vec();
        assert!(Message::take(&mut buffer).is_none());
        buffer.extend(b"bHTTP/1.1 503 No\r\nconnection: Close\r\n\r\n");
        assert_eq!(Message::take(&mut buffer).unwrap().body, b"ab");
        let answer = Message::take(&mut buffer).unwrap();
        assert_eq!((answer.status(), answer.closes()), (Some(503), true));
        assert!(buffer.is_empty());
    }
}
