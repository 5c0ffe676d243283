//! Who may come in: the headers that every request has, and its signature of version 1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use md5::{Digest, Md5};
use sha1::Sha1;

use crate::refusal::Refusal;
use crate::request::Request;
use crate::settings::{AccessKey, Settings};

/// Turns away whoever does not show one of the keys. Without keys everyone may come in.
pub(crate) fn check(request: &Request, settings: &Settings, now: Timestamp) -> Result<(), Refusal> {
    if settings.strict {
        check_content(request)?;
    }
    if settings.access_keys.is_empty() {
        return Ok(());
    }
    match request.header("x-mns-version") {
        None => return Err(Refusal::MISSING_VERSION),
        Some("2015-06-06") => {}
        Some(_) => return Err(Refusal::INVALID_VERSION),
    }
    let date = date_of(request).ok_or(Refusal::MISSING_DATE)?;
    let (id, signature) = credentials(request)?;
    let key = settings.access_keys.iter().find(|key| key.id == id).ok_or(Refusal::INVALID_ACCESS_KEY_ID)?;
    if !is_signed_with(key, request, signature) {
        return Err(Refusal::SIGNATURE_DOES_NOT_MATCH);
    }
    if key.security_token.is_some() && request.header("security-token") != key.security_token.as_deref() {
        return Err(Refusal::ACCESS_DENIED);
    }
    let date = DateTimeParser::new().parse_timestamp(date).map_err(|_| Refusal::INVALID_DATE)?;
    match settings.max_skew {
        Some(most) if now.duration_since(date).unsigned_abs() > most => Err(Refusal::TIME_EXPIRED),
        _ => Ok(()),
    }
}

fn check_content(request: &Request) -> Result<(), Refusal> {
    if request.body.is_empty() {
        return Ok(());
    }
    let kind = request.header("content-type").unwrap_or_default();
    if !kind.starts_with("text/xml") && !kind.starts_with("application/xml") {
        return Err(Refusal::INVALID_CONTENT_TYPE);
    }
    match request.header("content-md5") {
        Some(digest) if !is_digest_of(digest, &request.body) => Err(Refusal::INVALID_DIGEST),
        _ => Ok(()),
    }
}

/// Base64 of the 16 bytes as in RFC 1864, or of their 32 hex digits: SDKs send either.
fn is_digest_of(digest: &str, body: &[u8]) -> bool {
    let raw: [u8; 16] = Md5::digest(body).into();
    let hex = format!("{:032x}", u128::from_be_bytes(raw));
    digest == STANDARD.encode(raw) || digest == STANDARD.encode(hex)
}

/// The date that counts: `Date`, or `x-mns-date` where that is missing.
fn date_of(request: &Request) -> Option<&str> {
    request.header("date").or_else(|| request.header("x-mns-date"))
}

/// Key id and signature out of `MNS {id}:{signature}`.
fn credentials(request: &Request) -> Result<(&str, &str), Refusal> {
    let header = request.header("authorization").ok_or(Refusal::MISSING_AUTHORIZATION)?;
    let pair = header.strip_prefix("MNS ").and_then(|rest| rest.trim().split_once(':'));
    pair.ok_or(Refusal::INVALID_AUTHORIZATION)
}

fn is_signed_with(key: &AccessKey, request: &Request, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    let Ok(mac) = Hmac::<Sha1>::new_from_slice(key.secret.as_bytes()) else { return false };
    mac.chain_update(string_to_sign(request)).verify_slice(&signature).is_ok()
}

/// What a signature covers: the method, three headers, every `x-mns-` header, and the target as it came.
fn string_to_sign(request: &Request) -> String {
    let header = |name| request.header(name).unwrap_or_default();
    let (method, date) = (&request.method, date_of(request).unwrap_or_default());
    let mut text = format!("{method}\n{}\n{}\n{date}\n", header("content-md5"), header("content-type"));
    let mut own: Vec<(&str, &[u8])> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, _)| name.starts_with("x-mns-"))
        .collect();
    own.sort_unstable();
    for (name, value) in own {
        text += &format!("{name}:{}\n", String::from_utf8_lossy(value).trim());
    }
    text + &request.target
}

#[cfg(test)]
mod tests;
