//! Keys in files: both forms of `File`, both of `StsFile`, and files that change, break, or are none.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aliyun_credentials::{
    CredentialError, CredentialProvider, CredentialSource, Credentials, ErrorKind, File, Secret, StsFile,
};
use jiff::{SignedDuration, Timestamp};

use crate::check_error;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys.json")
    }

    fn write(&self, text: &str) -> PathBuf {
        std::fs::write(self.path(), text).unwrap();
        self.path()
    }
}

async fn fetch<S: CredentialSource>(
    text: &str,
    source: impl FnOnce(PathBuf) -> S,
) -> Result<Credentials, CredentialError> {
    let folder = Folder::new();
    source(folder.write(text)).fetch().await
}

const CLI: &str = r#"{"current": "main", "meta_path": "", "profiles": [
    {"name": "main", "mode": "AK", "access_key_id": "id", "access_key_secret": "s3cret", "region_id": "cn-shanghai"},
    {"name": "session", "mode": "StsToken", "access_key_id": "STS.id", "access_key_secret": "s3cret", "sts_token": "s3cret-token"},
    {"name": "no-token", "mode": "StsToken", "access_key_id": "STS.id", "access_key_secret": "s3cret"},
    {"name": "number", "mode": "AK", "access_key_id": 7, "access_key_secret": "s3cret"},
    {"name": "role", "mode": "EcsRamRole", "ram_role_name": "r"},
    {"name": "assume", "mode": "RamRoleArn", "access_key_id": "id", "access_key_secret": "s3cret"}]}"#;

#[tokio::test]
async fn the_configuration_of_the_cli() {
    let profile = |name: &'static str| fetch(CLI, move |path| File::new(path).with_profile(name));
    assert_eq!(fetch(CLI, File::new).await.unwrap(), Credentials::new("id", "s3cret"));
    assert_eq!(profile("main").await.unwrap(), Credentials::new("id", "s3cret"));
    let session = Credentials {
        security_token: Some(Secret::new("s3cret-token")),
        ..Credentials::new("STS.id", "s3cret")
    };
    assert_eq!(profile("session").await.unwrap(), session);
    check_error(profile("no-token").await, ErrorKind::Malformed, "has no sts_token");
    check_error(profile("number").await, ErrorKind::Malformed, "access_key_id");
    check_error(profile("role").await, ErrorKind::Malformed, "kind = \"ecs_ram_role\"");
    check_error(profile("assume").await, ErrorKind::Malformed, "RamRoleArn");
    check_error(profile("other").await, ErrorKind::Missing, "no profile \"other\"");
    check_error(fetch(r#"{"profiles": []}"#, File::new).await, ErrorKind::Malformed, "no current profile");
    check_error(fetch(r#"{"profiles": 7, "current": "a"}"#, File::new).await, ErrorKind::Missing, "\"a\"");
}

#[tokio::test]
async fn the_plain_form() {
    let plain = r#"{"access_key_id": "id", "access_key_secret": "s3cret"}"#;
    assert_eq!(fetch(plain, File::new).await.unwrap(), Credentials::new("id", "s3cret"));
    let with_token = r#"{"access_key_id": "id", "access_key_secret": "s3cret", "security_token": "t"}"#;
    assert_eq!(fetch(with_token, File::new).await.unwrap().security_token, Some(Secret::new("t")));
    check_error(
        fetch(plain, |path| File::new(path).with_profile("main")).await,
        ErrorKind::Malformed,
        "no profiles",
    );
    check_error(
        fetch(r#"{"access_key_id": "id"}"#, File::new).await,
        ErrorKind::Malformed,
        "access_key_secret",
    );
    let not_text = r#"{"access_key_id": "id", "access_key_secret": "s3cret", "security_token": ["s3cret"]}"#;
    check_error(fetch(not_text, File::new).await, ErrorKind::Malformed, "security_token");
    check_error(fetch(r#"["s3cret"]"#, File::new).await, ErrorKind::Malformed, "access_key_id");
}

#[tokio::test]
async fn the_providers_answers() {
    let keys = r#""AccessKeyId": "STS.id", "AccessKeySecret": "s3cret", "SecurityToken": "s3cret-token""#;
    let whole = format!(r#"{{{keys}, "Expiration": "2026-11-24T12:00:00Z"}}"#);
    let expected = Credentials {
        security_token: Some(Secret::new("s3cret-token")),
        expires_at: Some("2026-11-24T12:00:00Z".parse().unwrap()),
        ..Credentials::new("STS.id", "s3cret")
    };
    assert_eq!(fetch(&whole, StsFile::new).await.unwrap(), expected);
    let assume_role = format!(r#"{{"RequestId": "r", "Credentials": {whole}}}"#);
    assert_eq!(fetch(&assume_role, StsFile::new).await.unwrap(), expected);

    check_error(
        fetch(&format!("{{{keys}}}"), StsFile::new).await,
        ErrorKind::Malformed,
        "Expiration is missing",
    );
    let odd = format!(r#"{{{keys}, "Expiration": "s3cret"}}"#);
    check_error(fetch(&odd, StsFile::new).await, ErrorKind::Malformed, "Expiration");
    let refused = r#"{"Code": "NoPermission", "Message": "s3cret"}"#;
    check_error(fetch(refused, StsFile::new).await, ErrorKind::Refused, "NoPermission");
    for missing in ["AccessKeyId", "AccessKeySecret", "SecurityToken"] {
        check_error(
            fetch(&whole.replace(missing, "Other"), StsFile::new).await,
            ErrorKind::Malformed,
            missing,
        );
    }
}

#[tokio::test]
async fn what_is_no_file_of_keys_is_told_by_its_path() {
    let folder = Folder::new();
    let check = |path: PathBuf, kind: ErrorKind, says: &'static str| async move {
        check_error(File::new(&path).fetch().await, kind, says);
        check_error(StsFile::new(path).fetch().await, kind, says);
    };
    check(folder.path(), ErrorKind::Missing, "keys.json").await;
    check(folder.0.path().to_owned(), ErrorKind::Malformed, "not a file of keys").await;
    check("/dev/zero".into(), ErrorKind::Malformed, "/dev/zero is not a file of keys").await;
    check(folder.write(&"s3cret".repeat(20_000)), ErrorKind::Malformed, "at most 65536 bytes").await;
    check(folder.write("{\n  \"access_key_secret\": s3cret"), ErrorKind::Malformed, "line 2, column 24")
        .await;
    check(folder.write(""), ErrorKind::Malformed, "is not JSON").await;
}

fn set_modified(path: &Path, seconds_ago: u64) {
    let at = std::fs::metadata(path).unwrap().modified().unwrap() - Duration::from_secs(seconds_ago);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
}

#[tokio::test]
async fn a_file_has_changed_when_its_time_or_length_has() {
    let folder = Folder::new();
    let source = File::new(folder.path());
    drop(source.fetch().await);
    assert!(!source.has_changed().await, "it is still missing");
    folder.write(r#"{"access_key_id": "a", "access_key_secret": "s3cret"}"#);
    assert!(source.has_changed().await, "it is there now");
    source.fetch().await.unwrap();
    assert!(!source.has_changed().await);
    set_modified(&folder.path(), 60);
    assert!(source.has_changed().await, "it has another time and the same length");
    source.fetch().await.unwrap();
    let before: SystemTime = std::fs::metadata(folder.path()).unwrap().modified().unwrap();
    folder.write("{");
    std::fs::File::options().append(true).open(folder.path()).unwrap().set_modified(before).unwrap();
    assert!(source.has_changed().await, "it has the same time and another length");
    drop(source.fetch().await);
    assert!(!source.has_changed().await, "broken as it is, it was read");
}

/// A writer renews the file at every stage of its life; once it is caught half-way.
#[tokio::test]
async fn an_sts_file_is_followed() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let after = |seconds| start + SignedDuration::from_secs(seconds);
    let write = |folder: &Folder, id: &str, seconds| {
        folder.write(&format!(
            r#"{{"AccessKeyId": "{id}", "AccessKeySecret": "s3cret", "SecurityToken": "t", "Expiration": "{}"}}"#,
            after(seconds)
        ));
    };
    let folder = Folder::new();
    write(&folder, "first", 3600);
    let now = Arc::new(Mutex::new(start));
    let clock = Arc::clone(&now);
    let source = Arc::new(StsFile::new(folder.path()));
    let provider = CredentialProvider::with_now(source, move || *clock.lock().unwrap());
    let ask = async |seconds| {
        *now.lock().unwrap() = after(seconds);
        provider.credentials().await.map(|credentials| credentials.access_key_id.clone())
    };
    assert_eq!(ask(0).await.as_deref(), Ok("first"));
    write(&folder, "rotated", 3700);
    assert_eq!(ask(9).await.as_deref(), Ok("first"));
    assert_eq!(ask(10).await.as_deref(), Ok("rotated"), "another modification time is noticed");
    folder.write("{\"AccessKeyId\": \"hal");
    assert_eq!(ask(100).await.as_deref(), Ok("rotated"), "a file caught half-way does no harm");
    write(&folder, "renewed", 7300);
    assert_eq!(ask(3500).await.as_deref(), Ok("renewed"));
    std::fs::remove_file(folder.path()).unwrap();
    assert_eq!(ask(7200).await.as_deref(), Ok("renewed"));
    assert_eq!(ask(7300).await.unwrap_err().kind, ErrorKind::Missing);
}
