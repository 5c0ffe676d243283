//! How long reading an event takes, beside the least that serde_json needs for it: a struct borrowed from the body and
//! another from the text inside.

use std::borrow::Cow;
use std::hint::black_box;

use serde::Deserialize;

use super::{Measured, median};
use crate::clock::Instant;
use crate::{Bench, callback};

const ROUNDS: usize = 41;
const READS: u32 = 5_000;

pub(super) fn measure(_: &mut Bench) -> Result<Measured, String> {
    let mut body = callback::body();
    let body = body.with(1);
    vod_event::read(body).map_err(|error| error.to_string())?;
    borrowed(body).map_err(|error| error.to_string())?;
    let (mut ours, mut least, mut with_id) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        least.push(nanoseconds(|| borrowed(black_box(body)).is_ok()));
        ours.push(nanoseconds(|| vod_event::read(black_box(body)).is_ok()));
        with_id.push(nanoseconds(|| vod_event::read(black_box(body)).map(|reading| reading.id()).is_ok()));
    }
    let (ours, least, with_id) = (median(ours), median(least), median(with_id));
    let raw = format!("{ours:.0} over {least:.0} ns; {with_id:.0} ns with the event's id");
    Ok(Measured { figure: ours / least, raw })
}

fn nanoseconds(read: impl Fn() -> bool) -> f64 {
    let begun = Instant::now();
    for _ in 0..READS {
        black_box(read());
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Borrowed<'a> {
    event_type: &'a str,
    event_time: &'a str,
    status: &'a str,
    video_id: &'a str,
    job_id: &'a str,
    #[serde(borrow)]
    dynamic_image_job_info: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info<'a> {
    job_id: &'a str,
    status: &'a str,
    #[serde(rename = "FileURL")]
    file_url: &'a str,
    file_size: &'a str,
    fps: &'a str,
    width: &'a str,
    height: &'a str,
}

fn borrowed(body: &[u8]) -> serde_json::Result<()> {
    let event: Borrowed<'_> = serde_json::from_slice(body)?;
    let info: Info<'_> = serde_json::from_str(&event.dynamic_image_job_info)?;
    black_box((event.event_type, event.event_time, event.status, event.video_id, event.job_id));
    black_box((info.job_id, info.status, info.file_url, info.file_size, info.fps, info.width, info.height));
    Ok(())
}
