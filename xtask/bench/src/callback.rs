//! Callbacks as the provider would send them: one sample event with ids of its own each time, under one proof.

use vod_event::{CallbackProof, PrivateKey};

use crate::clock;

const SAMPLE: &str = include_str!("../../../fixtures/events/DynamicImageComplete/info-as-json-string.json");
/// The ids that the sample has; each stands in it twice.
const IDS: [&str; 2] = ["0a1b2c3d4e5f60718293a4b5c6d7e8f9", "5e4d3c2b1a09f8e7d6c5b4a392817060"];

pub(crate) const PUBLIC_URL: &str = "https://relay.example.com/vod/callback";
pub(crate) const PATH: &str = "/vod/callback";
pub(crate) const KEY: &str = "Abcdef0123456789";

/// Bytes that say another event for each number, without being built anew.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

/// The body alone.
pub(crate) fn body() -> Numbered {
    Numbered::new(SAMPLE.trim_end())
}

/// A whole request, with a proof of this moment.
pub(crate) fn request() -> Numbered {
    Numbered::new(&request_with(SAMPLE.trim_end()))
}

/// A whole request with that body, and a proof of this moment.
pub(crate) fn request_with(body: &str) -> String {
    let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(KEY), clock::now());
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: relay.example.com\r\nuser-agent: bench\r\ncontent-type: application/json\r\n\
         {}: {}\r\n{}: {}\r\ncontent-length: {}\r\n\r\n{body}",
        CallbackProof::TIMESTAMP_HEADER,
        proof.timestamp(),
        CallbackProof::SIGNATURE_HEADER,
        proof.signature_hex(),
        body.len(),
    )
}

impl Numbered {
    fn new(text: &str) -> Self {
        let places = IDS.iter().flat_map(|id| text.match_indices(id)).map(|(place, _)| place).collect();
        Self { bytes: text.as_bytes().to_vec(), places }
    }

    /// The bytes of that number.
    pub(crate) fn with(&mut self, number: u64) -> &[u8] {
        let id = format!("{number:032x}");
        for place in &self.places {
            if let Some(digits) = self.bytes.get_mut(*place..*place + id.len()) {
                digits.copy_from_slice(id.as_bytes());
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_another_event() {
        let mut body = body();
        assert_eq!(body.places.len(), 4);
        let id = |bytes: &[u8]| vod_event::read(bytes).unwrap().id();
        let (first, second) = (id(body.with(1)), id(body.with(2)));
        assert_ne!(first, second);
        assert_eq!(first, id(body.with(1)));
    }
}
