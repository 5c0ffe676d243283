//! Those that take their time: heads and bodies a byte at a time, and connections with nothing on them.

use std::iter::{once, repeat_n};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::Attacker;
use crate::sender::{head, request};

/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(250);
/// Of a common callback, and the most that is accepted.
const COMMON: usize = 600;
const MOST: usize = 1 << 20;

pub(super) async fn heads(attacker: Attacker) {
    loop {
        let Some(mut stream) = attacker.connect().await else { continue };
        let request = request(&attacker.key, "", b"{}");
        attacker.exchange(&mut stream, request.chunks(1), PAUSE).await;
    }
}

pub(super) async fn bodies(attacker: Attacker) {
    let length = if attacker.number.is_multiple_of(2) { COMMON } else { MOST };
    loop {
        let Some(mut stream) = attacker.connect().await else { continue };
        let pieces = once(head(&attacker.key, "", length)).chain(repeat_n(b" ".to_vec(), length));
        attacker.exchange(&mut stream, pieces, PAUSE).await;
    }
}

pub(super) async fn idle(attacker: Attacker) {
    loop {
        let Some(mut stream) = attacker.connect().await else { continue };
        attacker.count("connected");
        // Whatever comes, it is the end.
        let _ = stream.read_u8().await;
        attacker.count("closed");
    }
}
