//! What wrong options are told: the path, and what is expected there.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use vodrelay_core::config::Surroundings;

use crate::build;

fn check(kind: &str, options: Value, expect: &Expect) {
    let surroundings = Surroundings { folder: std::env::temp_dir(), ..Surroundings::default() };
    let error = build(kind, options, surroundings).map(|sink| format!("{sink:?}"));
    expect.assert_eq(&error.unwrap_err());
}

#[test]
fn every_key_is_in_the_document() {
    let document = include_str!("../../../../docs/CONFIGURATION.md");
    for (kind, key) in [("webhook", ""), ("webhook", "short"), ("archive", "")] {
        let odd = json!({"no_such_key": 1});
        let options = if key.is_empty() { odd } else { json!({"url": "http://h/", key: odd}) };
        let message = build(kind, options, Surroundings::default()).unwrap_err();
        let listed: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        assert!(listed.len() > 1, "{message}");
        let lacks = listed.iter().filter(|listed| **listed != "short").find(|listed| {
            let name = if key.is_empty() { (**listed).to_owned() } else { format!("{key}.{listed}") };
            !document.contains(&format!("`{name}`"))
        });
        assert_eq!(lacks, None, "docs/CONFIGURATION.md lacks an option of {kind} {key}");
    }
}

#[test]
fn webhook() {
    let url = "http://h/";
    check("webhook", json!({}), &expect![": missing field `url`"]);
    check(
        "webhook",
        json!({"url": "cms.internal/hook"}),
        &expect!["url: expected a URL like https://cms.internal/hooks/vod: relative URL without a base"],
    );
    check(
        "webhook",
        json!({"url": "ftp://cms.internal/hook"}),
        &expect![[
            r#"url: expected a URL like https://cms.internal/hooks/vod: "ftp" is neither http nor https"#
        ]],
    );
    check(
        "webhook",
        json!({"url": url, "fromat": "raw"}),
        &expect![
            "fromat: unknown field `fromat`, expected one of `url`, `format`, `vod_key`, `vod_url`, `secret`, `source`, `success`, `permanent`, `short`, `headers`"
        ],
    );
    check(
        "webhook",
        json!({"url": url, "format": "xml"}),
        &expect!["format: unknown variant `xml`, expected one of `raw`, `standard`, `cloudevents`"],
    );
    check(
        "webhook",
        json!({"url": url, "format": "standard", "vod_key": "Aa1"}),
        &expect![[
            r#"vod_key: signs the provider's own bytes, so it belongs to format = "raw"; use secret here"#
        ]],
    );
    check(
        "webhook",
        json!({"url": url, "vod_url": "http://other/"}),
        &expect!["vod_url: needs vod_key, which signs for that URL"],
    );
    check(
        "webhook",
        json!({"url": url, "vod_key": {"env": "MISSING"}}),
        &expect!["vod_key: the environment variable MISSING is not set; it holds the secret"],
    );
    check(
        "webhook",
        json!({"url": url, "secret": "s3cret"}),
        &expect!["secret: expected a secret that begins with whsec_"],
    );
    check(
        "webhook",
        json!({"url": url, "secret": []}),
        &expect![[
            r#"secret: invalid length 0, expected a secret: a string, { env = "NAME" } or { file = "path" }, or a list of those"#
        ]],
    );
    check(
        "webhook",
        json!({"url": url, "secret": [{"env": "MISSING"}]}),
        &expect!["secret: the environment variable MISSING is not set; it holds the secret"],
    );
    check(
        "webhook",
        json!({"url": url, "secret": 5}),
        &expect![[
            r#"secret: invalid type: integer `5`, expected a secret: a string, { env = "NAME" } or { file = "path" }, or a list of those"#
        ]],
    );
    check(
        "webhook",
        json!({"url": url, "success": ["2xx", "all"]}),
        &expect![[
            r#"success[1]: invalid value: string "all", expected a status from 200 to 599 like 410, or a class like "2xx""#
        ]],
    );
    check(
        "webhook",
        json!({"url": url, "short": {"age": 24}}),
        &expect![[
            r#"short.age: "24" is not a duration: write a whole number and a unit, like 500ms, 15s, 5m, 1h or 7d"#
        ]],
    );
    check(
        "webhook",
        json!({"url": url, "headers": {"Webhook-Id": "1"}}),
        &expect!["headers.Webhook-Id: is set by the relay itself; leave it out"],
    );
    check(
        "webhook",
        json!({"url": url, "headers": {"a b": "1"}}),
        &expect!["headers.a b: is no name of a header"],
    );
    check(
        "webhook",
        json!({"url": url, "headers": {"a": "x\ny"}}),
        &expect!["headers.a: has characters that no header may have"],
    );
    check(
        "webhook",
        json!({"url": url, "source": "//me"}),
        &expect![[r#"source: belongs to format = "cloudevents"; leave it out"#]],
    );
}

#[test]
fn archive() {
    check(
        "archive",
        json!({"url": "archive"}),
        &expect![[
            r#"url: "archive" has no scheme; expected s3://bucket/prefix, oss://bucket/prefix, file:///path, or file:path beside the configuration"#
        ]],
    );
    check(
        "archive",
        json!({"url": "gs://bucket"}),
        &expect![[
            r#"url: "gs" is no scheme of a store; expected s3://bucket/prefix, oss://bucket/prefix, file:///path, or file:path beside the configuration"#
        ]],
    );
    check(
        "archive",
        json!({"url": "file://archive"}),
        &expect!["url: expected file:///path with three slashes, or file:path"],
    );
    check("archive", json!({"url": "file:"}), &expect!["url: expected a path after file:"]);
    check(
        "archive",
        json!({"url": "file:a", "region": "eu-1"}),
        &expect!["region: belongs to s3:// and oss://; a folder has no use for it"],
    );
    check("archive", json!({"url": "s3://"}), &expect!["url: expected a bucket after s3://"]);
    check(
        "archive",
        json!({"url": "s3://b", "access_key_id": "a"}),
        &expect!["secret_access_key: is missing beside access_key_id"],
    );
    check(
        "archive",
        json!({"url": "s3://b", "endpoint": "minio:9000"}),
        &expect!["endpoint: expected a URL like https://s3.example.com: it has no host"],
    );
    check(
        "archive",
        json!({"url": "s3://b", "path_style": "yes"}),
        &expect![[r#"path_style: "yes" is neither true nor false"#]],
    );
    check(
        "archive",
        json!({"url": "s3://b", "session_token": "t"}),
        &expect!["access_key_id: is missing beside session_token"],
    );
    check(
        "archive",
        json!({"url": "s3://b", "credentials": {"kind": "environment"}}),
        &expect![
            "credentials: belongs to oss://; the keys of s3:// stand in access_key_id and secret_access_key"
        ],
    );
    check(
        "archive",
        json!({"url": "s3://b", "sse": "none"}),
        &expect![[r#"sse: "none" is no encryption; expected "AES256", "aws:kms" or { kms_key = "…" }"#]],
    );
    check(
        "archive",
        json!({"url": "s3://b", "sse": {"key": "k"}}),
        &expect![[r#"sse: expected "AES256", "aws:kms" or { kms_key = "…" }"#]],
    );
    check(
        "archive",
        json!({"url": "s3://b", "sse": 5}),
        &expect![[r#"sse: invalid type: integer `5`, expected "AES256", "aws:kms" or { kms_key = "…" }"#]],
    );
    check(
        "archive",
        json!({"url": "s3://b", "record_storage_class": "GLACIER"}),
        &expect![
            "record_storage_class: a record is read again when its event comes again, and an archive class lets nobody read at once; use STANDARD or STANDARD_IA"
        ],
    );
    check(
        "archive",
        json!({"url": "s3://b", "ca_file": "/nowhere/ca.pem"}),
        &expect!["ca_file: /nowhere/ca.pem cannot be used: No such file or directory (os error 2)"],
    );
}

#[test]
fn archive_in_oss() {
    check("archive", json!({"url": "oss://"}), &expect!["url: expected a bucket after oss://"]);
    check(
        "archive",
        json!({"url": "oss://b"}),
        &expect!["region: is missing; it is that of the bucket, for example cn-shanghai"],
    );
    check(
        "archive",
        json!({"url": "oss://b", "endpoint": "https://oss.example.com"}),
        &expect![
            "region: is missing, and cannot be told from endpoint; requests are signed for a region, for example cn-shanghai"
        ],
    );
    check(
        "archive",
        json!({"url": "oss://b", "endpoint": "https://s3.oss-cn-shanghai.aliyuncs.com", "internal": true}),
        &expect!["internal: belongs to region; endpoint says where to go by itself"],
    );
    check(
        "archive",
        json!({"url": "oss://b", "region": "cn-shanghai", "path_style": true}),
        &expect!["path_style: belongs to s3://; OSS takes the bucket in the host only"],
    );
    check(
        "archive",
        json!({"url": "oss://b", "region": "cn-shanghai", "access_key_id": "a"}),
        &expect!["access_key_id: belongs to s3://; keys of Alibaba Cloud stand in credentials"],
    );
    check(
        "archive",
        json!({"url": "oss://b", "region": "cn-shanghai", "credentials": {"kind": "sts"}}),
        &expect![[
            r#"credentials: there are no credentials of kind "sts"; expected static, environment, file, sts_file or ecs_ram_role"#
        ]],
    );
    check(
        "archive",
        json!({"url": "oss://b", "region": "cn-shanghai",
               "credentials": {"kind": "static", "access_key_id": "a", "access_key_secret": {"env": "MISSING"}}}),
        &expect![
            "credentials.access_key_secret: the environment variable MISSING is not set; it holds the secret"
        ],
    );
}
