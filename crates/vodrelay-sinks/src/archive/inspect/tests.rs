use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[path = "../../../tests/it/images.rs"]
mod images;

/// What comes out when the body is cut into chunks of these lengths, again and again.
fn inspect(body: &[u8], lengths: &[usize]) -> Result<Facts, Flaw> {
    let mut inspector = Inspector::new();
    let (mut rest, mut lengths) = (body, lengths.iter().cycle());
    while !rest.is_empty() {
        let (chunk, after) =
            rest.split_at(lengths.next().map_or(rest.len(), |length| *length.min(&rest.len())));
        inspector.take(chunk)?;
        rest = after;
    }
    inspector.finish()
}

fn check(body: &[u8], expect: &Result<(Format, u32, u32, u64), Flaw>) {
    for lengths in [&[][..], &[1], &[2, 3, 1]] {
        let found = inspect(body, lengths);
        if let Ok(facts) = &found {
            assert_eq!(facts.bytes, body.len() as u64);
            assert_eq!(facts.sha256, <[u8; 32]>::from(Sha256::digest(body)));
        }
        let found = found.map(|facts| (facts.format, facts.width_px, facts.height_px, facts.frames));
        assert_eq!(&found, expect, "{lengths:?}");
    }
}

const MADE_ELSEWHERE: [(&[u8], Format, u32, u32, u64); 5] = [
    (include_bytes!("../../../../../fixtures/images/animated.gif"), Format::Gif, 40, 30, 5),
    (include_bytes!("../../../../../fixtures/images/still.gif"), Format::Gif, 17, 9, 1),
    (include_bytes!("../../../../../fixtures/images/animated.webp"), Format::WebP, 40, 30, 5),
    (include_bytes!("../../../../../fixtures/images/lossy.webp"), Format::WebP, 17, 9, 1),
    (include_bytes!("../../../../../fixtures/images/lossless.webp"), Format::WebP, 17, 9, 1),
];

fn whole() -> Vec<Vec<u8>> {
    let made = [images::gif(5, 3, 2), images::webp(300, 200, 3, 7), images::webp(9, 16_383, 1, 0)];
    MADE_ELSEWHERE.iter().map(|(body, ..)| body.to_vec()).chain(made).collect()
}

#[test]
fn images_of_encoders_and_of_our_own_read() {
    for (body, format, width, height, frames) in MADE_ELSEWHERE {
        check(body, &Ok((format, width, height, frames)));
    }
    check(&images::gif(300, 2, 7), &Ok((Format::Gif, 300, 2, 7)));
    check(&images::webp(640, 16_383, 1, 0), &Ok((Format::WebP, 640, 16_383, 1)));
    check(&images::webp(1, 1, 200, 0), &Ok((Format::WebP, 1, 1, 200)));
    check(&images::webp(40, 30, 2, 1), &Ok((Format::WebP, 40, 30, 2)));
    let with_pad = images::webp(40, 30, 2, 1);
    let (mut without_pad, size) = (with_pad.clone(), u32::try_from(with_pad.len()).unwrap() - 9);
    without_pad.pop();
    without_pad[4..8].copy_from_slice(&size.to_le_bytes());
    check(&without_pad, &Ok((Format::WebP, 40, 30, 2)));
}

#[test]
fn every_beginning_of_an_image_is_cut_short() {
    for body in whole() {
        let format = inspect(&body, &[]).unwrap().format;
        for length in 0..body.len().min(2000) {
            let expect = match length {
                0 => Flaw::Empty,
                1..MAGIC => Flaw::Foreign(None),
                _ => Flaw::CutShort(format),
            };
            assert_eq!(inspect(&body[..length], &[7]), Err(expect), "{length}");
        }
        assert_eq!(inspect(&body[..body.len() - 1], &[]), Err(Flaw::CutShort(format)));
    }
}

#[test]
fn nothing_but_zeros_may_follow() {
    for body in whole() {
        let format = inspect(&body, &[]).unwrap().format;
        for zeros in [1, 9] {
            let padded = [body.clone(), vec![0; zeros]].concat();
            assert_eq!(inspect(&padded, &[4]).unwrap().zeros_after, zeros as u64);
        }
        for tail in [&b"\n"[..], b"\0\0x", b"PK\x03\x04", b"<script>", &body] {
            check(&[&body, tail].concat(), &Err(Flaw::Trailing(format)));
        }
    }
}

#[test]
fn what_is_no_image_is_named() {
    let check_foreign = |body: &[u8], like: Option<&'static str>| check(body, &Err(Flaw::Foreign(like)));
    check(b"", &Err(Flaw::Empty));
    check_foreign(b"<!DOCTYPE html><title>Sign in</title>", Some("HTML or XML"));
    check_foreign(b"\r\n <?xml version=\"1.0\"?>", Some("HTML or XML"));
    check_foreign(b"{}", Some("JSON"));
    check_foreign(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", Some("gzip"));
    check_foreign(b"\x89PNG\r\n\x1a\n", Some("PNG"));
    check_foreign(b"\xff\xd8\xff\xe0\x00\x10JFIF", Some("JPEG"));
    check_foreign(b"PK\x03\x04", Some("a ZIP archive"));
    check_foreign(b"\x00\x00\x00\x18ftypmp42", Some("a video"));
    check_foreign(b"GIF88a\x01\x00\x01\x00\x00\x00\x00", None);
    check_foreign(b"RIFF\x24\x00\x00\x00WAVEfmt ", None);
    check_foreign(b"not an image", None);
    assert_eq!(
        Flaw::Foreign(Some("PNG")).to_string(),
        "the body is neither GIF nor WebP, it begins like PNG"
    );
}

#[test]
fn what_is_damaged_is_named() {
    let gif = images::gif(5, 3, 1);
    let webp = images::webp(40, 30, 2, 8);
    let damage = |body: &[u8], at: usize, bytes: &[u8]| {
        let mut body = body.to_vec();
        body[at..at + bytes.len()].copy_from_slice(bytes);
        body
    };
    let check_damaged = |body: &[u8], format, what| check(body, &Err(Flaw::Damaged(format, what)));
    check_damaged(&damage(&gif, 6, &[0, 0]), Format::Gif, "it has no pixels");
    check_damaged(&damage(&gif, 13 + 384, b"?"), Format::Gif, "no block begins where one should");
    check_damaged(b"GIF89a\x01\x00\x01\x00\x00\x00\x00\x3b", Format::Gif, "it has no frame");
    check_damaged(&damage(&webp, 12, b"ABCD"), Format::WebP, "its first chunk is not an image");
    check_damaged(&damage(&webp, 16, &[0xff; 4]), Format::WebP, "its sizes do not fit into each other");
    check_damaged(&damage(&webp, 16, &[4, 0, 0, 0]), Format::WebP, "its sizes do not fit into each other");
    check_damaged(&damage(&webp, 4, &[2, 0, 0, 0]), Format::WebP, "its sizes do not fit into each other");
    check_damaged(&damage(&webp, 4, &[33, 0, 0, 0]), Format::WebP, "its sizes do not fit into each other");
    check_damaged(&damage(&webp, 4, &[22, 0, 0, 0]), Format::WebP, "it has no frame");
    check_damaged(
        &damage(&images::webp(9, 9, 1, 0), 20, b"?"),
        Format::WebP,
        "its first chunk is not an image",
    );
}

/// Whole images, images with some bytes changed or cut off, and any bytes at all.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let changed = (
        prop::sample::select(whole()),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    let changed = changed.prop_map(|(mut body, changes, end, is_cut)| {
        for (at, byte) in changes {
            let at = at.index(body.len().min(700));
            body[at] = byte;
        }
        if is_cut {
            body.truncate(end.index(body.len()));
        }
        body
    });
    let head = prop::sample::select(vec![&b""[..], b"GIF89a", b"RIFF", b"RIFF\xff\0\0\0WEBPVP8 "]);
    let any_bytes = (head, vec(any::<u8>(), 0..300)).prop_map(|(head, body)| [head, &body].concat());
    prop_oneof![3 => changed, 1 => any_bytes]
}

proptest! {
    #[test]
    fn where_a_body_is_cut_makes_no_difference(body in bodies(), lengths in vec(1..40usize, 1..8)) {
        let whole = inspect(&body, &[]);
        prop_assert_eq!(&inspect(&body, &lengths), &whole);
        if let Ok(facts) = whole {
            prop_assert!(facts.frames > 0 && facts.width_px > 0 && facts.height_px > 0);
            prop_assert_eq!(facts.bytes, body.len() as u64);
        }
    }
}
