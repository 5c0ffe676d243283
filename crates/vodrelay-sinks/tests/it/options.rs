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
    let odd = json!({"no_such_key": 1});
    let of_host = json!({"url": "file:a", "image_hosts": [odd]});
    let of_auth = json!({"url": "file:a", "image_hosts": [{"name": "h", "auth": odd}]});
    let tables = [
        ("webhook", "", odd.clone()),
        ("webhook", "short", json!({"url": "http://h/", "short": odd})),
        ("archive", "", odd),
        ("archive", "image_hosts", of_host),
        ("archive", "image_hosts.auth", of_auth),
    ];
    for (kind, key, options) in tables {
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

/// What is told of one entry of `image_hosts`, beside a folder for the archive.
fn check_host(entry: &Value, expect: &Expect) {
    check("archive", json!({"url": "file:a", "image_hosts": [entry]}), expect);
}

#[test]
fn image_hosts() {
    let second = json!({"url": "file:a", "image_hosts": [{"name": "h"}, {}]});
    check("archive", second, &expect!["image_hosts[1]: missing field `name`"]);
    check_host(&json!({}), &expect!["image_hosts[0]: missing field `name`"]);
    let single = json!({"url": "file:a", "image_hosts": {"name": "h"}});
    check(
        "archive",
        single,
        &expect![
            "image_hosts: there may be several entries, so each has two brackets: write [[sinks.NAME.options.image_hosts]]"
        ],
    );
    let text = json!({"url": "file:a", "image_hosts": "h"});
    check(
        "archive",
        text,
        &expect![
            "image_hosts: expected entries, each below [[sinks.NAME.options.image_hosts]], found string"
        ],
    );
    check_host(
        &json!({"name": "vod.example.com", "schema": "https"}),
        &expect![
            "image_hosts[0].schema: unknown field `schema`, expected one of `name`, `scheme`, `auth`, `allow_addresses`, `redirects`, `max_size`, `connect_timeout`, `idle_timeout`, `min_speed`"
        ],
    );
    check_host(
        &json!({"name": "http://vod.example.com"}),
        &expect![[
            r#"image_hosts[0].name: "http://vod.example.com" is no host: write vod.example.com, *.example.com, or either with a port behind it"#
        ]],
    );
    check_host(
        &json!({"name": "*.*.example.com"}),
        &expect![[
            r#"image_hosts[0].name: "*.*.example.com" is no host: write vod.example.com, *.example.com, or either with a port behind it"#
        ]],
    );
    check_host(
        &json!({"name": "10.0.0.5"}),
        &expect![
            "image_hosts[0].name: 10.0.0.5 is private, so nothing would be fetched; open it in allow_addresses if it is meant"
        ],
    );
    check_host(
        &json!({"name": "0x7f.1:8080", "allow_addresses": ["10.0.0.0/8"]}),
        &expect![
            "image_hosts[0].name: 127.0.0.1 is loopback, so nothing would be fetched; open it in allow_addresses if it is meant"
        ],
    );
    check_host(
        &json!({"name": "h", "scheme": "http"}),
        &expect!["image_hosts[0].scheme: unknown variant `http`, expected `https`"],
    );
    check_host(
        &json!({"name": "h", "allow_addresses": ["localhost"]}),
        &expect![[
            r#"image_hosts[0].allow_addresses[0]: "localhost" is not an address or a network: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32"#
        ]],
    );
    check_host(
        &json!({"name": "h", "redirects": ["*"]}),
        &expect![[
            r#"image_hosts[0].redirects[0]: "*" is no host: write vod.example.com, *.example.com, or either with a port behind it"#
        ]],
    );
    check_host(
        &json!({"name": "h", "max_size": "1GB"}),
        &expect![[
            r#"image_hosts[0].max_size: "1GB" is not a size: write a whole number and a unit, like 64KiB, 1MiB or 1GiB"#
        ]],
    );
    check_host(
        &json!({"name": "h", "max_size": 0}),
        &expect!["image_hosts[0].max_size: expected 1 byte to 32GiB, not 0B"],
    );
    check_host(
        &json!({"name": "h", "max_size": "1TiB"}),
        &expect!["image_hosts[0].max_size: expected 1 byte to 32GiB, not 1TiB"],
    );
    check_host(
        &json!({"name": "h", "idle_timeout": "0s"}),
        &expect!["image_hosts[0].idle_timeout: expected more than nothing"],
    );
    check_host(
        &json!({"name": "h", "connect_timeout": 5}),
        &expect![[
            r#"image_hosts[0].connect_timeout: "5" is not a duration: write a whole number and a unit, like 500ms, 15s, 5m, 1h or 7d"#
        ]],
    );
}

#[test]
fn image_host_auth() {
    let check = |auth: Value, expect: &Expect| check_host(&json!({"name": "h", "auth": auth}), expect);
    check(
        json!("A"),
        &expect![[r#"image_hosts[0].auth: expected a table like { type = "A", key = … }, found string"#]],
    );
    check(
        json!({"key": "k"}),
        &expect!["image_hosts[0].auth.type: is missing: expected A, B, C (or C1), C2 or oss"],
    );
    check(
        json!({"type": "D", "key": "k"}),
        &expect![[
            r#"image_hosts[0].auth.type: "D" is no type of signing: expected A, B, C (or C1), C2 or oss"#
        ]],
    );
    check(
        json!({"type": "A"}),
        &expect!["image_hosts[0].auth.key: is missing: the key of the domain's URL signing"],
    );
    check(
        json!({"type": "A", "key": "k", "keys": ["k", "l"]}),
        &expect!["image_hosts[0].auth.keys: stands beside key; write one of them"],
    );
    check(
        json!({"type": "A", "keys": []}),
        &expect!["image_hosts[0].auth.keys: expected the primary and the secondary key, not 0 of them"],
    );
    check(
        json!({"type": "A", "keys": ["a", "b", "c"]}),
        &expect!["image_hosts[0].auth.keys: expected the primary and the secondary key, not 3 of them"],
    );
    check(
        json!({"type": "A", "key": {"env": "MISSING"}}),
        &expect!["image_hosts[0].auth.key: the environment variable MISSING is not set; it holds the secret"],
    );
    check(
        json!({"type": "A", "key": "k", "bucket": "b"}),
        &expect![[
            r#"image_hosts[0].auth.bucket: belongs to type = "oss"; types of the CDN take key or keys"#
        ]],
    );
    check(
        json!({"type": "oss", "key": "k"}),
        &expect![[
            r#"image_hosts[0].auth.key: belongs to the types of the CDN; type = "oss" takes access_key_id and access_key_secret"#
        ]],
    );
    check(
        json!({"type": "oss", "access_key_id": "i"}),
        &expect![[r#"image_hosts[0].auth.access_key_secret: is missing: type = "oss" needs it"#]],
    );
    let keys = |key: &str, value: &str| json!({"type": "oss", "access_key_id": "i", "access_key_secret": "s", key: value});
    check(keys("bucket", "b"), &expect!["image_hosts[0].auth.region: is missing beside bucket"]);
    check(keys("region", "cn-shanghai"), &expect!["image_hosts[0].auth.bucket: is missing beside region"]);
    check(
        json!({"type": "oss", "access_key_id": "i", "access_key_secret": "s"}),
        &expect![
            "image_hosts[0].auth: cannot sign for h: the host is not like BUCKET.oss-REGION.aliyuncs.com, so bucket and region have to be given"
        ],
    );
    let of_vod = "image_hosts[0].auth: a bucket whose name begins with outin- belongs to VOD itself, and no key of yours can sign for it; configure a CDN domain in VOD, or have VOD store into a bucket of your own, so that later events name that host";
    let of_host = json!({"type": "oss", "access_key_id": "i", "access_key_secret": "s"});
    for (name, auth) in [
        ("outin-0123456789abcdef.oss-cn-shanghai.aliyuncs.com", of_host),
        (
            "vod.example.com",
            json!({"type": "oss", "access_key_id": "i", "access_key_secret": "s",
                                   "bucket": "outin-0123456789abcdef", "region": "cn-shanghai"}),
        ),
    ] {
        let entry = json!({"url": "file:a", "image_hosts": [{"name": name, "auth": auth}]});
        assert_eq!(build("archive", entry, Surroundings::default()).unwrap_err(), of_vod);
    }
    check(
        keys("endpoint", "e"),
        &expect![
            "image_hosts[0].auth.endpoint: unknown field `endpoint`, expected one of `type`, `key`, `keys`, `access_key_id`, `access_key_secret`, `security_token`, `bucket`, `region`"
        ],
    );
}

#[test]
fn webhook() {
    let url = "http://h/";
    check(
        "webhook",
        json!({}),
        &expect!["url: is missing; expected a URL like https://cms.internal/hooks/vod"],
    );
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
            r#"secret: expected a secret: a string, { env = "NAME" } or { file = "path" }, or a list of those, found integer"#
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
        json!({}),
        &expect![
            "url: is missing; expected s3://bucket/prefix, oss://bucket/prefix, file:///path, or file:path beside the configuration"
        ],
    );
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
        json!({"url": "s3://media", "access_key_id": "a"}),
        &expect!["secret_access_key: is missing beside access_key_id"],
    );
    check(
        "archive",
        json!({"url": "s3://media", "endpoint": "minio:9000"}),
        &expect!["endpoint: expected a URL like https://s3.example.com: it has no host"],
    );
    check(
        "archive",
        json!({"url": "s3://media", "path_style": "yes"}),
        &expect![[r#"path_style: "yes" is neither true nor false"#]],
    );
    check(
        "archive",
        json!({"url": "s3://media", "session_token": "t"}),
        &expect!["access_key_id: is missing beside session_token"],
    );
    check(
        "archive",
        json!({"url": "s3://media", "credentials": {"kind": "environment"}}),
        &expect![
            "credentials: belongs to oss://; the keys of s3:// stand in access_key_id and secret_access_key"
        ],
    );
    check(
        "archive",
        json!({"url": "s3://media", "sse": "none"}),
        &expect![[r#"sse: "none" is no encryption; expected "AES256", "aws:kms" or { kms_key = "…" }"#]],
    );
    check(
        "archive",
        json!({"url": "s3://media", "sse": {"key": "k"}}),
        &expect![[r#"sse: expected "AES256", "aws:kms" or { kms_key = "…" }"#]],
    );
    check(
        "archive",
        json!({"url": "s3://media", "sse": 5}),
        &expect![[r#"sse: expected "AES256", "aws:kms" or { kms_key = "…" }, found integer"#]],
    );
    check(
        "archive",
        json!({"url": "s3://media", "record_storage_class": "GLACIER"}),
        &expect![
            "record_storage_class: a record is read again when its event comes again, and an archive class lets nobody read at once; use STANDARD or STANDARD_IA"
        ],
    );
    check(
        "archive",
        json!({"url": "s3://media", "ca_file": "/nowhere/ca.pem"}),
        &expect!["ca_file: /nowhere/ca.pem cannot be used: No such file or directory (os error 2)"],
    );
}

/// The URL of a store is never repeated in the message: it may have keys in it.
#[test]
fn the_url_of_a_bucket() {
    let check = |url: &str, expect: &Expect| {
        check("archive", json!({"url": url, "region": "eu-1"}), expect);
    };
    let no_name = expect![
        "url: does not name a bucket: a name has 3 to 63 lower-case letters, digits, dots and hyphens, the first and the last of them a letter or a digit"
    ];
    for url in
        ["s3://Media_Archive", "s3://ab/c", "oss://-media", "s3://media:9000/a", "s3://id:s3cret/x@media/a"]
    {
        check(url, &no_name);
    }
    check(
        "s3://id:s3cret@media/a",
        &expect![
            "url: has keys in it, which stand in access_key_id and secret_access_key; expected s3://bucket/prefix"
        ],
    );
    check(
        "oss://id@media",
        &expect!["url: has keys in it, which stand in credentials; expected oss://bucket/prefix"],
    );
    check(
        "s3://media/a?b=s3cret",
        &expect!["url: has a ? or # in it, which no prefix has; expected s3://bucket/prefix"],
    );
    check(
        "s3://media#s3cret",
        &expect!["url: has a ? or # in it, which no prefix has; expected s3://bucket/prefix"],
    );
    let dots =
        expect!["url: has a . or .. in its prefix, which leads nowhere in a bucket; write the prefix out"];
    for url in ["s3://media/../x", "s3://media/a/./b", "oss://media/.."] {
        check(url, &dots);
    }
    check("s3:media/a", &expect!["url: expected s3://bucket/prefix"]);
    check("s3:///a", &expect!["url: expected a bucket after s3://"]);
}

#[test]
fn where_a_bucket_is_asked_for() {
    check(
        "archive",
        json!({"url": "s3://media", "endpoint": "http://127.0.0.1:9000"}),
        &expect![
            "path_style: the endpoint is an IP address, where no bucket can stand in the host; set path_style = true"
        ],
    );
    check(
        "archive",
        json!({"url": "s3://media", "endpoint": "https://[::1]:9000", "path_style": false}),
        &expect![
            "path_style: the endpoint is an IP address, where no bucket can stand in the host; set path_style = true"
        ],
    );
    check(
        "archive",
        json!({"url": "oss://media", "endpoint": "http://10.0.0.1", "region": "cn-shanghai"}),
        &expect![
            "endpoint: is an IP address, where no bucket can stand in the host, and OSS takes it nowhere else; give a name"
        ],
    );
    check(
        "archive",
        json!({"url": "s3://media", "region": "EU West"}),
        &expect![[
            r#"region: "EU West" is no region: expected lower-case letters, digits and hyphens, like eu-west-1"#
        ]],
    );
    check(
        "archive",
        json!({"url": "oss://media", "region": "oss-"}),
        &expect![[
            r#"region: "" is no region: expected lower-case letters, digits and hyphens, like eu-west-1"#
        ]],
    );
}

#[test]
fn archive_in_oss() {
    check("archive", json!({"url": "oss://"}), &expect!["url: expected a bucket after oss://"]);
    check(
        "archive",
        json!({"url": "oss://media"}),
        &expect!["region: is missing; it is that of the bucket, for example cn-shanghai"],
    );
    check(
        "archive",
        json!({"url": "oss://media", "endpoint": "https://oss.example.com"}),
        &expect![
            "region: is missing, and cannot be told from endpoint; requests are signed for a region, for example cn-shanghai"
        ],
    );
    check(
        "archive",
        json!({"url": "oss://media", "endpoint": "https://s3.oss-cn-shanghai.aliyuncs.com", "internal": true}),
        &expect!["internal: belongs to region; endpoint says where to go by itself"],
    );
    check(
        "archive",
        json!({"url": "oss://media", "region": "cn-shanghai", "path_style": true}),
        &expect!["path_style: belongs to s3://; OSS takes the bucket in the host only"],
    );
    check(
        "archive",
        json!({"url": "oss://media", "region": "cn-shanghai", "access_key_id": "a"}),
        &expect!["access_key_id: belongs to s3://; keys of Alibaba Cloud stand in credentials"],
    );
    check(
        "archive",
        json!({"url": "oss://media", "region": "cn-shanghai", "credentials": {"kind": "sts"}}),
        &expect![[
            r#"credentials: there are no credentials of kind "sts"; expected static, environment, file, sts_file or ecs_ram_role"#
        ]],
    );
    check(
        "archive",
        json!({"url": "oss://media", "region": "cn-shanghai",
               "credentials": {"kind": "static", "access_key_id": "a", "access_key_secret": {"env": "MISSING"}}}),
        &expect![
            "credentials.access_key_secret: the environment variable MISSING is not set; it holds the secret"
        ],
    );
}
