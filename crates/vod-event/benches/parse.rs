//! Reading one DynamicImageComplete with its info as JSON text, beside the least that serde_json needs for it: a
//! struct borrowed from the body and another from the text inside.

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;

const BODY: &str = include_str!("../../../fixtures/events/DynamicImageComplete/info-as-json-string.json");

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

fn baseline(body: &[u8]) -> usize {
    let event: Borrowed<'_> = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}"));
    let info: Info<'_> =
        serde_json::from_str(&event.dynamic_image_job_info).unwrap_or_else(|error| panic!("{error}"));
    black_box((event.event_type, event.event_time, event.status, event.video_id, event.job_id));
    black_box((info.job_id, info.status, info.file_url, info.file_size, info.fps, info.width, info.height));
    event.dynamic_image_job_info.len()
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(BODY.len() as u64));
    group.bench_function("serde_json", |bencher| bencher.iter(|| baseline(black_box(BODY.as_bytes()))));
    group.bench_function("read", |bencher| bencher.iter(|| vod_event::read(black_box(BODY.as_bytes()))));
    group.bench_function("read_and_id", |bencher| {
        bencher.iter(|| {
            vod_event::read(black_box(BODY.as_bytes())).map(|reading| (reading.id(), reading.into_event()))
        });
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
