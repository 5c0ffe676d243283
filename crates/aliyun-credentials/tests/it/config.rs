//! The table of a configuration: what it takes, and what it says of one that is wrong.

use std::collections::HashMap;
use std::path::Path;

use aliyun_credentials::{Config, Credentials, Secret};
use serde::Deserialize;

/// A secret as some configuration may write it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    env: String,
}

#[derive(Debug, Deserialize)]
struct File<S> {
    #[serde(bound(deserialize = "S: Deserialize<'de>"))]
    credentials: Config<S>,
}

fn parse<S: for<'de> Deserialize<'de>>(table: &str) -> Result<Config<S>, String> {
    let text = format!("credentials = {{ {table} }}");
    toml::from_str::<File<S>>(&text).map(|file| file.credentials).map_err(|error| error.message().to_owned())
}

#[track_caller]
fn check(table: &str, expected: &Config<String>) {
    assert_eq!(parse::<String>(table).as_ref(), Ok(expected));
}

#[track_caller]
fn check_wrong(table: &str, says: &str) {
    let error = parse::<String>(table).expect_err("it was taken");
    assert!(error.contains(says), "{error} does not say {says:?}");
}

#[test]
fn every_kind_is_read() {
    let keys = r#"kind = "static", access_key_id = "id", access_key_secret = "s3cret""#;
    let of_keys = |security_token| Config::Static {
        access_key_id: "id".to_owned(),
        access_key_secret: "s3cret".to_owned(),
        security_token,
    };
    check(keys, &of_keys(None));
    check(&format!(r#"{keys}, security_token = "t""#), &of_keys(Some("t".to_owned())));
    check(r#"kind = "environment""#, &Config::Environment);
    check(r#"kind = "file", path = "a.json""#, &Config::File { path: "a.json".into(), profile: None });
    check(
        r#"kind = "file", path = "a.json", profile = "p""#,
        &Config::File { path: "a.json".into(), profile: Some("p".to_owned()) },
    );
    check(r#"kind = "sts_file", path = "a.json""#, &Config::StsFile { path: "a.json".into() });
    check(r#"kind = "ecs_ram_role""#, &Config::EcsRamRole { role_name: None });
    check(
        r#"kind = "ecs_ram_role", role_name = "r""#,
        &Config::EcsRamRole { role_name: Some("r".to_owned()) },
    );
}

#[test]
fn a_wrong_table_is_told_what_is_expected() {
    check_wrong(r#"kind = "magic""#, "expected static, environment, file, sts_file or ecs_ram_role");
    check_wrong("", "missing field `kind`");
    check_wrong(
        r#"kind = "static", access_key_id = "id""#,
        "access_key_secret is missing; kind = \"static\"",
    );
    check_wrong(r#"kind = "file""#, "path is missing");
    check_wrong(r#"kind = "sts_file""#, "path is missing");
    check_wrong(
        r#"kind = "environment", path = "a""#,
        "path does not belong to kind = \"environment\", which takes no further keys",
    );
    check_wrong(
        r#"kind = "sts_file", path = "a", profile = "p""#,
        "profile does not belong to kind = \"sts_file\", which takes path",
    );
    check_wrong(r#"kind = "environment", secret = "s3cret""#, "unknown field `secret`");
}

#[tokio::test]
async fn secrets_are_resolved_by_whoever_knows_how() {
    let table = r#"kind = "static", access_key_id = { env = "ID" }, access_key_secret = { env = "SECRET" }, security_token = { env = "TOKEN" }"#;
    let config = parse::<Named>(table).unwrap();
    let source = config.clone().into_source(&HashMap::new(), Path::new(""), |key, secret| {
        Ok::<_, ()>(format!("{key}/{}", secret.env))
    });
    let expected = Credentials {
        security_token: Some(Secret::new("security_token/TOKEN")),
        ..Credentials::new("access_key_id/ID", "access_key_secret/SECRET")
    };
    assert_eq!(source.unwrap().fetch().await.unwrap(), expected);

    let failed = config.into_source(&HashMap::new(), Path::new(""), |key, _| match key {
        "access_key_secret" => Err(format!("{key} is not set")),
        _ => Ok(String::new()),
    });
    assert_eq!(failed.unwrap_err(), "access_key_secret is not set");
}

#[tokio::test]
async fn variables_and_paths_are_looked_up_where_they_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), r#"{"access_key_id": "id", "access_key_secret": "s3cret"}"#)
        .unwrap();
    let environment: HashMap<_, _> = [("ACCESS_KEY_ID", "id"), ("ACCESS_KEY_SECRET", "s3cret")]
        .map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), value.to_owned()))
        .into();
    for table in [r#"kind = "file", path = "a.json""#, r#"kind = "environment""#] {
        let config = parse::<String>(table).unwrap();
        let source = config.into_source(&environment, folder.path(), |_, secret| Ok::<_, ()>(secret.clone()));
        assert_eq!(source.unwrap().fetch().await.unwrap(), Credentials::new("id", "s3cret"));
    }
}

#[test]
fn no_secret_of_a_table_prints() {
    let table =
        r#"kind = "static", access_key_id = "id", access_key_secret = "s3cret", security_token = "s3cret""#;
    let config = parse::<String>(table).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
    let source = config.into_source(&HashMap::new(), Path::new(""), |_, secret| Ok::<_, ()>(secret.clone()));
    assert!(!format!("{source:?}").contains("s3cret"), "{source:?}");
}
