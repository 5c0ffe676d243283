//! Heads and bodies that are too large, some of them with a valid proof, as fast as they are turned away.

use std::iter::{once, repeat_n};
use std::time::Duration;

use super::Attacker;
use crate::sender::{PATH, head, request};

const PIECE: usize = 16 << 10;
/// Twice what is accepted, in pieces.
const PIECES: usize = (2 << 20) / PIECE;

pub(super) async fn flood(attacker: Attacker) {
    loop {
        let Some(mut stream) = attacker.connect().await else { continue };
        let pieces: Box<dyn Iterator<Item = Vec<u8>> + Send> = match attacker.number % 4 {
            0 => Box::new(once(request(&attacker.key, &long_headers(20 << 10), b"{}"))),
            // One that never ends.
            1 => Box::new(once(endless_head()).chain(repeat_n(vec![b'x'; PIECE], PIECES))),
            2 => Box::new(
                once(head(&attacker.key, "", PIECE * PIECES)).chain(repeat_n(vec![b' '; PIECE], PIECES)),
            ),
            _ => Box::new(once(chunked_head(&attacker.key)).chain(repeat_n(chunk(), PIECES))),
        };
        attacker.exchange(&mut stream, pieces, Duration::ZERO).await;
    }
}

fn long_headers(length: usize) -> String {
    format!("x-long: {}\r\n", "x".repeat(length))
}

fn endless_head() -> Vec<u8> {
    format!("POST {PATH} HTTP/1.1\r\nhost: relay.example.com\r\nx-endless: ").into_bytes()
}

/// A body whose length nobody says beforehand.
fn chunked_head(key: &str) -> Vec<u8> {
    let head = String::from_utf8_lossy(&head(key, "", 0)).into_owned();
    head.replace("content-length: 0", "transfer-encoding: chunked").into_bytes()
}

fn chunk() -> Vec<u8> {
    [format!("{PIECE:x}\r\n").as_bytes(), &vec![b' '; PIECE], b"\r\n"].concat()
}
