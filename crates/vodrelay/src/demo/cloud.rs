//! The demo's stand-in for ApsaraVideo VOD: makes events and sends them signed, as the provider does.

use std::time::Duration;

use jiff::Timestamp;
use vod_event::{CallbackProof, PrivateKey};

use super::PUBLIC_URL;
use super::cdn::Image;
use super::images::{HEIGHT, WIDTH};
use crate::command::client::client;
use crate::command::trigger::sample;
use crate::exit::{Code, Failure};

/// Sends callbacks to one relay.
pub(super) struct Cloud {
    client: reqwest::Client,
    relay: String,
}

impl Cloud {
    pub(super) fn new(relay: String) -> Result<Self, Failure> {
        Ok(Self { client: client(Duration::from_secs(5))?, relay })
    }

    /// Asks for an image by the URL that the event names, unsigned; returns the status.
    pub(super) async fn ask_unsigned(&self, image: &Image) -> Result<u16, Failure> {
        let answer = self.client.get(&image.url).send().await;
        let answer = answer
            .map_err(|error| Failure::new(Code::Internal, format!("the CDN does not answer: {error}")))?;
        Ok(answer.status().as_u16())
    }

    /// Sends the body, signed with that key for the public URL; returns the status.
    pub(super) async fn send(&self, body: &[u8], key: &str) -> Result<u16, Failure> {
        let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(key), Timestamp::now());
        let request =
            self.client.post(&self.relay).header("content-type", "application/json").body(body.to_vec());
        let request = request
            .header(CallbackProof::TIMESTAMP_HEADER, proof.timestamp.to_string())
            .header(CallbackProof::SIGNATURE_HEADER, proof.signature_hex());
        let answer = request.send().await;
        let answer = answer
            .map_err(|error| Failure::new(Code::Internal, format!("the relay does not answer: {error}")))?;
        Ok(answer.status().as_u16())
    }
}

pub(super) fn info_as_string(image: &Image) -> Vec<u8> {
    telling_of(image)
}

pub(super) fn info_as_object(image: &Image) -> Vec<u8> {
    let text = String::from_utf8_lossy(&telling_of(image)).into_owned();
    text.replace("\"{", "{").replace("}\"", "}").replace("\\\"", "\"").into_bytes()
}

fn telling_of(image: &Image) -> Vec<u8> {
    let info = |field: &str, value: String| format!("DynamicImageJobInfo.{field}={value}");
    made(&[
        &info("FileURL", image.url.clone()),
        &info("FileSize", image.bytes.len().to_string()),
        &info("Width", WIDTH.to_string()),
        &info("Height", HEIGHT.to_string()),
    ])
}

pub(super) fn failed() -> Vec<u8> {
    made(&[
        "Status=fail",
        "ErrorCode=InvalidParameter.ResourceContentBad",
        "ErrorMessage=The input file cannot be decoded",
    ])
}

pub(super) fn forged() -> Vec<u8> {
    made(&["VideoId=00000000000000000000000000000bad"])
}

fn made(changes: &[&str]) -> Vec<u8> {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    // The sample of a known type with well-formed changes cannot fail.
    sample("DynamicImageComplete", &changes, Timestamp::now()).unwrap_or_default()
}
