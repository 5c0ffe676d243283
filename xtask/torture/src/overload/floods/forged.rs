//! Callbacks of those that do not know the key, as fast as they are answered: half of them with a wrong proof, half of
//! them with none.

use std::iter::once;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::Attacker;
use crate::sender::{PATH, request};

/// Nobody sends this, so the service would tell if it were delivered.
const BODY: &[u8] =
    br#"{"EventType":"FileUploadComplete","VideoId":"forged","Status":"success","Extend":"forged"}"#;

/// From addresses of its own, or through a proxy that names so many.
pub(super) async fn flood(attacker: Attacker, forwarded: Option<usize>) {
    let (mut kept, mut turn) = (None, attacker.number);
    loop {
        if kept.is_none() {
            kept = attacker.connect().await;
        }
        let Some(mut connection) = kept.take() else { continue };
        let headers = forwarded.map(|addresses| forwarded_for(turn % addresses)).unwrap_or_default();
        let request = if turn.is_multiple_of(2) {
            request("WrongKeyOfAStranger1", &headers, BODY)
        } else {
            bare(&headers)
        };
        if attacker.exchange(&mut connection, once(request), Duration::ZERO).await {
            kept = Some(connection);
        }
        // Odd, so that each of them changes between both kinds.
        turn += 4_099;
    }
}

/// An address of the network that is for measurements.
fn forwarded_for(number: usize) -> String {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + number as u32);
    format!("x-forwarded-for: {address}\r\n")
}

fn bare(headers: &str) -> Vec<u8> {
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: relay.example.com\r\n{headers}content-length: {}\r\n\r\n",
        BODY.len()
    );
    [head.as_bytes(), BODY].concat()
}
