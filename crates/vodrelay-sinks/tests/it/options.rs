//! What wrong options are told: the path, and what is expected there.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use vodrelay_core::config::Surroundings;

use crate::build;

fn check(kind: &str, options: Value, expect: Expect) {
    let surroundings = Surroundings { folder: std::env::temp_dir(), ..Surroundings::default() };
    let error = build(kind, options, surroundings).map(|sink| format!("{sink:?}"));
    expect.assert_eq(&error.unwrap_err());
}

#[test]
fn webhook() {
    let url = "http://h/";
    check("webhook", json!({}), expect![""]);
    check("webhook", json!({"url": "cms.internal/hook"}), expect![""]);
    check("webhook", json!({"url": "ftp://cms.internal/hook"}), expect![""]);
    check("webhook", json!({"url": url, "fromat": "raw"}), expect![""]);
    check("webhook", json!({"url": url, "format": "xml"}), expect![""]);
    check("webhook", json!({"url": url, "format": "standard", "vod_key": "Aa1"}), expect![""]);
    check("webhook", json!({"url": url, "vod_url": "http://other/"}), expect![""]);
    check("webhook", json!({"url": url, "vod_key": {"env": "MISSING"}}), expect![""]);
    check("webhook", json!({"url": url, "secret": "s3cret"}), expect![""]);
    check("webhook", json!({"url": url, "secret": []}), expect![""]);
    check("webhook", json!({"url": url, "secret": [{"env": "MISSING"}]}), expect![""]);
    check("webhook", json!({"url": url, "secret": 5}), expect![""]);
    check("webhook", json!({"url": url, "success": ["2xx", "all"]}), expect![""]);
    check("webhook", json!({"url": url, "short": {"age": 24}}), expect![""]);
    check("webhook", json!({"url": url, "headers": {"Webhook-Id": "1"}}), expect![""]);
    check("webhook", json!({"url": url, "headers": {"a b": "1"}}), expect![""]);
    check("webhook", json!({"url": url, "headers": {"a": "x\ny"}}), expect![""]);
    check("webhook", json!({"url": url, "source": "//me"}), expect![""]);
}

#[test]
fn archive() {
    check("archive", json!({"url": "archive"}), expect![""]);
    check("archive", json!({"url": "gs://bucket"}), expect![""]);
    check("archive", json!({"url": "oss://bucket/prefix"}), expect![""]);
    check("archive", json!({"url": "file://archive"}), expect![""]);
    check("archive", json!({"url": "file:"}), expect![""]);
    check("archive", json!({"url": "file:a", "region": "eu-1"}), expect![""]);
    check("archive", json!({"url": "s3://"}), expect![""]);
    check("archive", json!({"url": "s3://b", "access_key_id": "a"}), expect![""]);
    check("archive", json!({"url": "s3://b", "endpoint": "minio:9000"}), expect![""]);
    check("archive", json!({"url": "s3://b", "path_style": "yes"}), expect![""]);
}
