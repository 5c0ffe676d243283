//! What the `[http]` table may say, and what is said about what it may not.

use std::collections::HashMap;
use std::sync::Arc;

use vodrelay_core::config::Surroundings;
use vodrelay_http::{Config, Settings};

fn resolve(text: &str) -> Result<Settings, String> {
    let environment = HashMap::from([("KEY".to_owned(), "Abcdef0123456789".to_owned())]);
    let surroundings = Surroundings { environment: Arc::new(environment), ..Surroundings::default() };
    let config: Config = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    config.resolve(&surroundings).map_err(|error| error.to_string())
}

#[test]
fn defaults() {
    let config: Config = toml::from_str("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    let settings = resolve("[callbacks.main]\npublic_url = \"https://relay.example.com/vod/callback?t=1\"\nkeys = [{ env = \"KEY\" }]").unwrap();
    assert_eq!((settings.body_limit, settings.health_path.as_str()), (1 << 20, "/healthz"));
    let callback = &settings.callbacks[0];
    assert_eq!(callback.path, "/vod/callback");
    assert_eq!(callback.endpoint.url, "https://relay.example.com/vod/callback?t=1");
    assert_eq!((callback.max_skew.as_secs(), callback.allow_unsigned), (300, false));
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn mistakes_are_named_with_their_path() {
    let check = |text: &str, expect: &str| {
        let found = resolve(text).expect_err(text);
        assert!(found.starts_with(expect), "{text}\n{found}");
    };
    let callback =
        |rest: &str| format!("[callbacks.main]\npublic_url = \"https://h.example.com/vod\"\n{rest}");
    check(&callback(""), "http.callbacks.main.keys: is empty");
    check(
        &callback("keys = [\"Abc\", { env = \"GONE\" }]"),
        "http.callbacks.main.keys[1]: the environment variable GONE",
    );
    check(&callback("keys = [{ name = \"x\" }]"), "expected a key:");
    check(&callback("keys = [{ env = \"KEY\", plain = \"x\" }]"), "expected a key:");
    check(&callback("keys = [\"a\"]\nkind = 1"), "unknown field `kind`");
    check(&callback("keys = [\"a\"]\npath = \"vod\""), "http.callbacks.main.path: \"vod\" is not a path");
    check(
        &callback("keys = [\"a\"]\npath = \"/healthz\""),
        "http.callbacks.main.path: \"/healthz\" is also the path of http.health_path",
    );
    let labels = |bytes: usize| {
        callback(&format!(
            "keys = [\"a\"]\nlabels = {{ a = \"{}\" }}",
            "x".repeat(bytes - r#"{"a":""}"#.len())
        ))
    };
    resolve(&labels(65_536)).unwrap();
    let too_large = "http.callbacks.main.labels: have 65537 bytes as JSON, and the journal keeps 65536";
    check(&labels(65_537), too_large);
    let two =
        callback("keys = [\"a\"]") + "\n[callbacks.other]\npublic_url = \"http://h/vod\"\nkeys = [\"a\"]";
    check(&two, "http.callbacks.other.path: \"/vod\" is also the path of http.callbacks.main.path");
    for url in
        ["h.example.com/vod", "ftp://h.example.com/vod", "https:///vod", "https://h.example.com/a b", ""]
    {
        check(
            &format!("[callbacks.main]\npublic_url = \"{url}\"\nkeys = [\"a\"]"),
            "http.callbacks.main.public_url: ",
        );
    }
    check("body_limit = \"0\"", "http.body_limit: ");
    check("body_limit = \"1GiB\"", "http.body_limit: ");
    check("health_path = \"healthz\"", "http.health_path: ");
    check("trusted_proxies = [\"proxy\"]", "\"proxy\" is not an address or a network");
    check("lissten = \"x\"", "unknown field `lissten`");
}

#[test]
fn what_is_allowed_and_unwise_is_a_warning() {
    let check = |rest: &str, expect: &[&str]| {
        let settings = resolve(&format!("[callbacks.main]\npublic_url = \"https://h/vod\"\n{rest}")).unwrap();
        assert_eq!(settings.warnings.len(), expect.len(), "{:?}", settings.warnings);
        for (warning, expect) in settings.warnings.iter().zip(expect) {
            assert!(warning.starts_with(expect), "{warning}");
        }
    };
    check("keys = [\"Abcdef0123456789\"]", &[]);
    check("keys = [\"Abcdefghijklmnopqrstuvwxyz0123456789\"]", &["http.callbacks.main.keys[0]: "]);
    check("allow_unsigned = true", &["http.callbacks.main.allow_unsigned: "]);
    let long = "x".repeat(256);
    let settings =
        resolve(&format!("[callbacks.main]\npublic_url = \"https://h/{long}\"\nkeys = [\"Abc1\"]")).unwrap();
    assert!(
        settings.warnings[0].starts_with("http.callbacks.main.public_url: has 266 bytes"),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn keys_never_print() {
    let settings =
        resolve("[callbacks.main]\npublic_url = \"https://h/vod\"\nkeys = [\"Abcdef0123456789\"]").unwrap();
    assert!(!format!("{settings:?}").contains("Abcdef"), "{settings:?}");
}
