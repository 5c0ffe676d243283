//! Every configuration of `fixtures/config`: the good ones load, the bad ones say what stands beside them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use vodrelay::config::{Loaded, from_text};
use vodrelay::relay::{build_sinks, factories};
use vodrelay_core::config::ConfigError;

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/config").join(kind);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// As far as `serve` and `check` go before they touch the machine.
fn load(path: &Path, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(path).unwrap();
    let environment: HashMap<String, String> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let loaded = from_text(&text, Some("vodrelay.toml".into()), environment)?;
    loaded.config.http.resolve(&loaded.surroundings)?;
    loaded.config.mns.resolve(&loaded.surroundings)?;
    loaded.config.admin.resolve(&loaded.surroundings)?;
    build_sinks(&loaded.config, &loaded.surroundings, &factories(Vec::new()))?;
    Ok(loaded)
}

const SECRETS: [(&str, &str); 2] = [
    ("VOD_CALLBACK_KEY", "Abcdef0123456789"),
    ("CMS_SECRET", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
];

#[test]
fn good_ones_load() {
    for path in fixtures("good") {
        load(&path, &SECRETS).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn bad_ones_say_what_is_wrong_and_what_would_be_right() {
    for path in fixtures("bad") {
        let error = load(&path, &SECRETS).expect_err(&path.display().to_string());
        expect_file![path.with_extension("expect")].assert_eq(&format!("{error}\n"));
    }
}

#[test]
fn the_environment_lies_over_the_file_and_stays_text() {
    let text = "[sinks.cms]\nkind = \"webhook\"\n[sinks.cms.options]\nurl = \"http://127.0.0.1:1/\"\n";
    let environment = [
        ("VODRELAY__HTTP__LISTEN", "127.0.0.1:9999"),
        ("VODRELAY__SINKS__CMS__CONCURRENCY", "3"),
        ("VODRELAY__SINKS__CMS__OPTIONS__VOD_KEY", "00123456789012345678901234567890"),
    ];
    let environment: HashMap<String, String> =
        environment.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let loaded = from_text(text, Some("vodrelay.toml".into()), environment).unwrap();
    assert_eq!(loaded.config.http.listen, "127.0.0.1:9999".parse().unwrap());
    let cms = loaded.config.sinks.values().next().unwrap();
    assert_eq!(cms.settings().concurrency, 3);
    assert_eq!(cms.options["vod_key"], "00123456789012345678901234567890");
}

#[test]
fn what_is_wrong_in_the_environment_is_named_by_its_variable() {
    let check = |name: &str, says: &str| {
        let environment = HashMap::from([(name.to_owned(), "1".to_owned())]);
        let error = from_text("", Some("vodrelay.toml".into()), environment).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    check("VODRELAY__HTTP__LISTN", "set by the environment: VODRELAY__HTTP__LISTN");
    check("VODRELAY__HTTP__LISTEN", "set by the environment: VODRELAY__HTTP__LISTEN");
}

#[test]
fn without_a_file_and_without_a_data_directory_it_says_what_to_do() {
    let error = from_text("", None, HashMap::new()).unwrap_err();
    assert!(error.message.contains("vodrelay init"), "{error}");
    let state = HashMap::from([("STATE_DIRECTORY".to_owned(), "/var/lib/vodrelay".to_owned())]);
    assert_eq!(from_text("", None, state).unwrap().data_dir, Path::new("/var/lib/vodrelay"));
}

#[test]
fn a_data_directory_that_is_empty_is_none_and_of_a_list_the_first_is_taken() {
    let check = |text: &str, environment: &[(&str, &str)], expect: &str| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(owned).collect();
        let loaded = from_text(text, Some("/etc/vodrelay/vodrelay.toml".into()), environment).unwrap();
        assert_eq!(loaded.data_dir, Path::new(expect), "{text}");
    };
    let beside = "/etc/vodrelay/data";
    check("", &[], beside);
    check("", &[("STATE_DIRECTORY", "")], beside);
    check("", &[("STATE_DIRECTORY", "/a:/b")], "/a");
    check("", &[("STATE_DIRECTORY", ":/b")], "/b");
    check("", &[("VODRELAY__DATA_DIR", "")], beside);
    check("", &[("VODRELAY__DATA_DIR", ""), ("STATE_DIRECTORY", "/a")], "/a");
    check("data_dir = \"\"", &[("STATE_DIRECTORY", "/a")], "/a");
    check("data_dir = \"/kept\"", &[("VODRELAY__DATA_DIR", "")], "/kept");
    check("data_dir = \"/kept\"", &[("VODRELAY__DATA_DIR", "/over"), ("STATE_DIRECTORY", "/a")], "/over");
}

/// The examples of the document, each with the files that it names.
#[test]
fn the_examples_of_stores_load() {
    let folder = tempfile::tempdir().unwrap();
    let beside = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(beside("minio"), "secret").unwrap();
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls/ca.pem").display().to_string();
    let document = include_str!("../../../../docs/STORES.md")
        .replace("/etc/vodrelay/minio-ca.pem", &ca)
        .replace("/run/secrets/minio", &beside("minio"))
        .replace("/var/lib/vodrelay/archive", &beside("archive"));
    let secrets = ["MINIO_ACCESS_KEY", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY"];
    let environment = || secrets.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    let examples: Vec<&str> =
        document.split("```toml").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        let loaded = from_text(example, Some("vodrelay.toml".into()), environment()).unwrap();
        build_sinks(&loaded.config, &loaded.surroundings, &factories(Vec::new()))
            .unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}
