//! What the event says of an image, against what the image is.

use vod_event::{Doubt, Image};

use super::Facts;

/// How far the event's pixels may be from the image's before it is another image: encoders round to even numbers.
const ROUNDING_PX: u64 = 1;

/// What differs in a way that can be the provider's rounding.
///
/// # Errors
/// With what differs, if the image is another than the one that the event tells of.
pub(in crate::archive) fn compare(claims: &Image, facts: &Facts) -> Result<Vec<Doubt>, String> {
    let mut doubts = Vec::new();
    let mut doubt = |field: &str, what: String| doubts.push(Doubt { field: field.to_owned(), what });
    let pixels = [
        ("Width", claims.width_px, facts.width_px, "wide"),
        ("Height", claims.height_px, facts.height_px, "high"),
    ];
    for (field, claimed, actual, way) in pixels {
        // No image has no pixels: that is how an encoder says that it does not know.
        let Some(claimed) = claimed.filter(|claimed| *claimed > 0) else { continue };
        match claimed.abs_diff(actual.into()) {
            0 => {}
            1..=ROUNDING_PX => doubt(field, format!("{claimed}, and the image is {actual} px {way}")),
            _ => return Err(format!("it is {actual} px {way}, and the event says {claimed}")),
        }
    }
    if let Some(claimed) = claims.size_bytes.filter(|claimed| *claimed != facts.bytes) {
        doubt("FileSize", format!("{claimed}, and the image has {} bytes", facts.bytes));
    }
    if facts.zeros_after > 0 {
        doubt("", format!("{} zero bytes after the end of the image", facts.zeros_after));
    }
    Ok(doubts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::inspect::Format;

    fn check(claims: [Option<u64>; 3], zeros_after: u64, expect: Result<&[(&str, &str)], &str>) {
        let [width_px, height_px, size_bytes] = claims;
        let image =
            Image { job_id: None, status: None, url: None, fps: None, size_bytes, width_px, height_px };
        let facts = Facts {
            format: Format::Gif,
            width_px: 200,
            height_px: 100,
            frames: 3,
            bytes: 5000,
            zeros_after,
            sha256: [0; 32],
        };
        let compared = compare(&image, &facts);
        let compared = compared
            .map(|doubts| doubts.into_iter().map(|doubt| (doubt.field, doubt.what)).collect::<Vec<_>>());
        let expect = expect.map(|doubts| {
            doubts.iter().map(|(field, what)| ((*field).to_owned(), (*what).to_owned())).collect::<Vec<_>>()
        });
        assert_eq!(compared, expect.map_err(str::to_owned));
    }

    #[test]
    fn rounding_is_a_doubt_and_another_size_is_another_image() {
        check([None; 3], 0, Ok(&[]));
        check([Some(200), Some(100), Some(5000)], 0, Ok(&[]));
        check([Some(201), Some(100), None], 0, Ok(&[("Width", "201, and the image is 200 px wide")]));
        check([None, Some(99), None], 0, Ok(&[("Height", "99, and the image is 100 px high")]));
        check([Some(202), None, None], 0, Err("it is 200 px wide, and the event says 202"));
        check([Some(100), Some(200), None], 0, Err("it is 200 px wide, and the event says 100"));
        check(
            [None, Some(u64::MAX), None],
            0,
            Err("it is 100 px high, and the event says 18446744073709551615"),
        );
        check([None, None, Some(4999)], 0, Ok(&[("FileSize", "4999, and the image has 5000 bytes")]));
        check([None, None, Some(5000)], 2, Ok(&[("", "2 zero bytes after the end of the image")]));
    }
}
