//! What the `[mns]` table may say, and what is said about what it may not.

use std::collections::HashMap;
use std::sync::Arc;

use vodrelay_core::config::Surroundings;
use vodrelay_mns::{Config, Settings};

const KEYS: &str =
    "credentials = { kind = \"static\", access_key_id = \"AK\", access_key_secret = { env = \"SECRET\" } }\n";

fn resolve(text: &str) -> Result<Settings, String> {
    let environment = HashMap::from([("SECRET".to_owned(), "s3cret".to_owned())]);
    let surroundings = Surroundings { environment: Arc::new(environment), ..Surroundings::default() };
    let config: Config = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    config.resolve(&surroundings).map_err(|error| error.to_string())
}

fn queue(endpoint: &str, queue: &str, rest: &str) -> String {
    format!("[queues.main]\nendpoint = \"{endpoint}\"\nqueue = \"{queue}\"\n{rest}")
}

const ENDPOINT: &str = "https://1234567890.mns.cn-shanghai.aliyuncs.com";

#[test]
fn defaults() {
    assert!(resolve("").unwrap().queues.is_empty());
    let settings = resolve(&queue(ENDPOINT, "vod-events", KEYS)).unwrap();
    let found = &settings.queues[0];
    assert_eq!((found.source.as_str(), found.max_pollers), ("queues.main", 8));
    assert_eq!(found.queue.name().as_str(), "vod-events");
    assert_eq!(settings.warnings, [""; 0]);
    for kind in ["environment", "ecs_ram_role"] {
        resolve(&queue(ENDPOINT, "q", &format!("credentials = {{ kind = \"{kind}\" }}"))).unwrap();
    }
}

#[test]
fn mistakes_are_named_with_their_path() {
    let check = |text: &str, expect: &str| {
        let found = resolve(text).expect_err(text);
        assert!(found.starts_with(expect), "{text}\n{found}");
    };
    check(&queue("1.mns.example.com", "q", KEYS), "mns.queues.main.endpoint: there is no URL");
    check(&queue(ENDPOINT, "a b", KEYS), "mns.queues.main.queue: \"a b\" is no name of a queue");
    check(&queue(ENDPOINT, "q", &format!("max_pollers = 0\n{KEYS}")), "mns.queues.main.max_pollers: must be");
    check(
        &queue(ENDPOINT, "q", &format!("max_pollers = 65\n{KEYS}")),
        "mns.queues.main.max_pollers: must be",
    );
    check(
        &queue(ENDPOINT, "q", &KEYS.replace("SECRET", "GONE")),
        "mns.queues.main.credentials.access_key_secret: the environment variable GONE",
    );
    check(&queue(ENDPOINT, "q", ""), "missing field `credentials`");
    check(&queue(ENDPOINT, "q", &format!("region = \"x\"\n{KEYS}")), "unknown field `region`");
    check(
        &queue(ENDPOINT, "q", "credentials = { kind = \"magic\" }"),
        "there are no credentials of kind \"magic\"",
    );
    let labels = |bytes: usize| format!("labels = {{ a = \"{}\" }}\n{KEYS}", "x".repeat(bytes - 8));
    resolve(&queue(ENDPOINT, "q", &labels(65_536))).unwrap();
    check(
        &queue(ENDPOINT, "q", &labels(65_537)),
        "mns.queues.main.labels: have 65537 bytes as JSON, and the journal keeps 65536",
    );
    let twice = queue(ENDPOINT, "q", KEYS)
        + &queue(&format!("{ENDPOINT}/"), "q", KEYS).replace("queues.main", "queues.other");
    check(&twice, "mns.queues.other.queue: \"q\" is also the queue of mns.queues.main");
}

#[test]
fn plain_http_is_worth_a_word_except_on_this_machine() {
    let warnings = |endpoint| resolve(&queue(endpoint, "q", KEYS)).unwrap().warnings.len();
    assert_eq!(warnings("http://1234567890.mns.cn-shanghai-internal.aliyuncs.com"), 1);
    assert_eq!(warnings("http://127.evil.example"), 1);
    assert_eq!(warnings("http://localhost.evil.example"), 1);
    assert_eq!(warnings("http://127.0.0.1:8400"), 0);
    assert_eq!(warnings(ENDPOINT), 0);
}

#[test]
fn it_is_shown_without_secrets() {
    let check = |credentials: &str, expect: &str| {
        let config: Config =
            toml::from_str(&queue(ENDPOINT, "q", &format!("credentials = {credentials}"))).unwrap();
        let shown = serde_json::to_value(&config).unwrap();
        let credentials = &shown["queues"]["main"]["credentials"];
        assert_eq!(credentials, &serde_json::from_str::<serde_json::Value>(expect).unwrap());
        assert!(!format!("{shown}{config:?}").contains("s3cret"));
    };
    check(
        "{ kind = \"static\", access_key_id = { env = \"ID\" }, access_key_secret = \"s3cret\" }",
        r#"{"kind": "static", "access_key_id": {"env": "ID"}, "access_key_secret": "***", "security_token": null}"#,
    );
    check("{ kind = \"environment\" }", r#"{"kind": "environment"}"#);
    check("{ kind = \"file\", path = \"k.json\" }", r#"{"kind": "file", "path": "k.json", "profile": null}"#);
    check("{ kind = \"sts_file\", path = \"k.json\" }", r#"{"kind": "sts_file", "path": "k.json"}"#);
    check("{ kind = \"ecs_ram_role\" }", r#"{"kind": "ecs_ram_role", "role_name": null}"#);
}
