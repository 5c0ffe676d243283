//! The command line as a person meets it: what it prints and how it exits.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use vodrelay_core::config::ByteSize;
use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Journal, SinkName, SystemClock};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

pub(crate) fn vodrelay(folder: &Path, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may have closed it already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn check(words: &[&str], input: &str, code: i32, says: &str) {
    let folder = tempfile::tempdir().unwrap();
    check_in(folder.path(), words, input, code, says);
}

#[track_caller]
pub(crate) fn check_in(folder: &Path, words: &[&str], input: &str, code: i32, says: &str) {
    let output = vodrelay(folder, words, input);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{words:?} printed:\n{text}");
    assert!(text.contains(says), "{words:?} does not say {says:?}:\n{text}");
}

const EVENT: &str = r#"{"EventType":"DynamicImageComplete","Status":"success","VideoId":"v","JobId":"j","EventTime":"2024-03-05T09:12:58Z","DynamicImageJobInfo":{"JobId":"j","Status":"success","FileURL":"http://a.example/b.gif"}}"#;

#[test]
fn help_and_usage() {
    check(&["--help"], "", 0, "75 journal held by another process");
    check(&["serve", "--help"], "", 0, "Examples:");
    check(&["nonsense"], "", 64, "unrecognized subcommand");
}

#[test]
fn the_demo_checks_out_and_goes_through_no_proxy() {
    let dead = "http://127.0.0.1:1";
    let output = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .args(["demo", "--once", "--json"])
        .env_clear()
        .envs(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, dead)))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    expect_test::expect![[r#"
        {
          "accepted": 4,
          "archived": 4,
          "delivered": 4,
          "images": 3,
          "merged": 2,
          "refused": 1,
          "whole": true
        }
    "#]]
    .assert_eq(&String::from_utf8_lossy(&output.stdout));
    assert!(told.contains("SHA-256"), "{told}");
}

#[test]
fn explain() {
    check(&["explain"], EVENT, 0, "\"id\": \"evt_1");
    check(&["explain", "--json"], EVENT, 0, "\"event\"");
    check(&["explain"], "not json", 65, "not readable as an event");
    check(&["explain", "--json"], "[]", 65, "\"unreadable\"");
    check(&["explain", "nowhere.json"], "", 65, "nowhere.json");
}

#[test]
fn explain_tells_which_sinks_get_it_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[sinks.a]\nkind = \"webhook\"\nstatus = \"fail\"\n[sinks.b]\nkind = \"webhook\"\n";
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    check_in(folder.path(), &["explain"], EVENT, 0, "a does not: status is fail, and this is success");
    check_in(folder.path(), &["explain"], EVENT, 0, "b gets it: every filter matches");
    check_in(folder.path(), &["explain", "--json"], EVENT, 0, "\"sinks\"");
}

#[test]
fn verify() {
    let url = "https://hooks.example.com/vod";
    let words = |url| {
        vec![
            "verify",
            "--url",
            url,
            "--timestamp",
            "1700000000",
            "--signature",
            "ad8020183abed515d47b1ae0f92e453f",
            "--key",
            "Abcdef0123456789",
        ]
    };
    check(&words(url), "", 0, "the signature matches");
    check(&words("http://hooks.example.com/vod/"), "", 65, "it would match");
    check(&words("https://other.example.com/"), "", 65, "most likely the key is another");
}

#[test]
fn sign_url() {
    let url = "http://vod.example.com/a/b.gif";
    let sign = |more: &[&'static str]| {
        [&["sign-url", "--key", "aliyunvodexp1234", "--timestamp", "1700000000"][..], more, &[url]].concat()
    };
    check(&["sign-url", "--help"], "", 0, "Examples:");
    let signed = "http://vod.example.com/a/b.gif?auth_key=1700000000-0-0-7f6e8ccc8f3a2b89e04a003880e3bfb5\n";
    check(&sign(&["--type", "A"]), "", 0, signed);
    check(&sign(&["--type", "A", "--json"]), "", 0, "\"timestamp\": 1700000000");
    check(&sign(&["--type", "A", "--rand", "477b", "--uid", "7"]), "", 0, "auth_key=1700000000-477b-7-");
    check(&sign(&["--type", "B"]), "", 0, "http://vod.example.com/202311150613/");
    check(&sign(&["--type", "C"]), "", 0, "/6553F100/a/b.gif");
    check(&sign(&["--type", "C1"]), "", 0, "/6553F100/a/b.gif");
    check(&sign(&["--type", "c2"]), "", 0, "&KEY2=6553F100");
    check(&["sign-url", "--type", "A", "--key", "k", url], "", 0, "?auth_key=");
}

#[test]
fn sign_url_takes_the_key_from_a_file_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cdn.key"), "aliyunvodexp1234\n").unwrap();
    let words = |key: &[&'static str]| {
        let url = "http://vod.example.com/a/b.gif";
        [&["sign-url", "--type", "A", "--timestamp", "1700000000"][..], key, &[url]].concat()
    };
    let digest = "7f6e8ccc8f3a2b89e04a003880e3bfb5";
    check_in(folder.path(), &words(&["--key-file", "cdn.key"]), "", 0, digest);
    check_in(folder.path(), &words(&["--key-file", "other.key"]), "", 64, "other.key");
    check_in(folder.path(), &words(&["--key-env", "CDN_KEY"]), "", 64, "CDN_KEY is not set");
    check_in(folder.path(), &words(&[]), "", 64, "say which key: --key-env NAME");
    let output = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .args(words(&["--key-env", "CDN_KEY"]))
        .env("CDN_KEY", "aliyunvodexp1234")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(digest), "{output:?}");
}

#[test]
fn sign_url_says_what_it_cannot_sign() {
    let refuse = |more: &[&'static str], says: &str| {
        check(&[&["sign-url", "--key", "s3cret"][..], more].concat(), "", 64, says);
    };
    let url = "http://vod.example.com/a/b.gif";
    refuse(&["--type", "oss", url], "as auth of image_hosts says");
    refuse(&["--type", "F", url], "expected A, B, C1 (or C) or C2");
    refuse(&["--type", "A", "b.gif"], "does not begin with http://");
    refuse(&["--type", "A", "http://vod.example.com/a/../b.gif"], "a segment . or ..");
    refuse(&["--type", "A", "--rand", "a-b", url], "rand is not 1 to 64");
    refuse(&["--type", "B", "--rand", "ab", url], "belong to --type A");
    refuse(&["--type", "A", "--timestamp", "-1", url], "before 1970");
    refuse(&["--type", "A", "--timestamp", "9223372036854775807", url], "expected seconds since 1970");
    refuse(&["--type", "A"], "URL");
}

#[test]
fn init_writes_what_serve_and_check_accept_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    check_in(
        folder.path(),
        &["init", "--public-url", "https://r.example.com/cb"],
        "",
        0,
        "https://r.example.com/cb",
    );
    check_in(folder.path(), &["init"], "", 73, "is there already");
    check_in(folder.path(), &["check"], "", 0, "callback main");
    check_in(folder.path(), &["config", "show"], "", 0, "public_url");
    let key = std::fs::read_to_string(folder.path().join("vod-callback.key")).unwrap();
    assert_eq!(key.trim().len(), 32);
    let file = folder.path().join("vodrelay.toml");
    // Somebody may listen on the default port of this machine; nobody does on the first one.
    let text = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:8080", "127.0.0.1:1");
    std::fs::write(&file, text).unwrap();
    check_in(folder.path(), &["trigger", "--callback", "main"], "", 69, "does not answer");
}

#[test]
fn trigger_prints_a_sample() {
    check(&["trigger", "--print"], "", 0, "DynamicImageJobInfo");
    check(&["trigger", "--print", "--set", "Status=fail"], "", 0, "\"Status\":\"fail\"");
    check(&["trigger"], "", 64, "--to URL, --callback NAME or --queue NAME");
}

#[test]
fn a_wrong_configuration_is_78_and_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vodrelay.toml"), "[http]\nlisten = 5\n").unwrap();
    check_in(folder.path(), &["serve"], "", 78, "http.listen");
    check_in(folder.path(), &["check"], "", 78, "http.listen");
    check(&["serve"], "", 78, "vodrelay init");
    check(&["serve", "--config", "nowhere.toml"], "", 78, "nowhere.toml");
}

#[test]
fn a_port_in_use_is_69() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config =
        format!("[http]\nlisten = \"{}\"\n[journal]\nmin_free = \"256MiB\"\n", taken.local_addr().unwrap());
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    check_in(folder.path(), &["serve"], "", 69, "another process has that port");
}

/// A folder with a configuration whose journal is `data`; nothing listens on a port that matters.
fn folder_with_config() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = "[http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[journal]\nmin_free = \"256MiB\"\n";
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    folder
}

/// Appends one event for a sink `old`, as a relay with another configuration would have.
fn append_for_a_sink_that_is_gone(data_dir: &Path) -> vod_event::EventId {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config =
            vodrelay_journal::Config { min_free: ByteSize(0), ..vodrelay_journal::Config::default() };
        let journal =
            SqliteJournal::open(data_dir, config, RefusedBounds::default(), Arc::new(SystemClock)).unwrap();
        let envelope = envelope_of(EVENT.as_bytes().into(), jiff::Timestamp::now());
        journal.append(&envelope, &[SinkName::new("old").unwrap()]).await.unwrap();
        journal.close().await.unwrap();
        envelope.id
    })
}

#[test]
fn an_event_in_the_journal_is_explained_by_its_id() {
    let folder = folder_with_config();
    check_in(folder.path(), &["check"], "", 0, "`vodrelay serve` makes it");
    let id = append_for_a_sink_that_is_gone(&folder.path().join("data")).to_string();
    check_in(folder.path(), &["explain", &id], "", 0, "deliver old: waiting, attempts so far: 0");
    check_in(folder.path(), &["explain", &id, "--json"], "", 0, "\"source\": \"callbacks.main\"");
    check_in(
        folder.path(),
        &["explain", "evt_100000000000000000000000000000000"],
        "",
        65,
        "has no event evt_10",
    );
    check_in(
        folder.path(),
        &["explain", "evt_1xyz"],
        "",
        65,
        "an event id is evt_1 and 32 lower-case hex digits",
    );
}

#[test]
fn orphaned_deliveries_are_a_warning_of_check() {
    let folder = folder_with_config();
    append_for_a_sink_that_is_gone(&folder.path().join("data"));
    check_in(folder.path(), &["check"], "", 0, "warning    sink old: orphaned deliveries: 1");
}

#[test]
fn a_journal_that_another_process_holds_is_75() {
    let folder = folder_with_config();
    let clock = Arc::new(SystemClock);
    let (config, bounds) = (vodrelay_journal::Config::default(), RefusedBounds::default());
    let _held = SqliteJournal::open(&folder.path().join("data"), config, bounds, clock).unwrap();
    let says = format!("is held by process {}", std::process::id());
    check_in(folder.path(), &["serve"], "", 75, &says);
}

#[test]
fn a_journal_of_a_newer_version_is_78_and_a_foreign_file_too() {
    let folder = folder_with_config();
    append_for_a_sink_that_is_gone(&folder.path().join("data"));
    let file = folder.path().join("data/journal.sqlite3");
    let sql = "PRAGMA user_version = 9; UPDATE meta SET value = 9 WHERE key = 'readable_from';
               UPDATE meta SET value = '4.2.0' WHERE key = 'written_by'";
    rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    check_in(folder.path(), &["serve"], "", 78, "written by vodrelay 4.2.0");
    check_in(folder.path(), &["check"], "", 78, "start that version or a later one again");
    std::fs::write(&file, "somebody's notes, long enough to be looked at. ".repeat(100)).unwrap();
    check_in(folder.path(), &["serve"], "", 74, "run `vodrelay journal salvage`");
    std::fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    check_in(folder.path(), &["serve"], "", 78, "is not a vodrelay journal");
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let folder = folder_with_config();
    std::fs::write(folder.path().join("data"), "a file where a folder should be").unwrap();
    check_in(folder.path(), &["serve"], "", 73, "data");
    check_in(folder.path(), &["check"], "", 78, "cannot be written");
}

#[test]
fn config_show_prints_what_loads_again_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vodrelay.toml");
    let full = include_str!("../../../../fixtures/config/good/full.toml");
    std::fs::write(&file, full).unwrap();
    let show = || vodrelay(folder.path(), &["config", "show"], "");
    let first = show();
    let text = String::from_utf8(first.stdout).unwrap();
    assert!(
        first.status.success() && !text.contains("Abcdef0123456789") && !text.contains("OldKey"),
        "{text}"
    );
    std::fs::write(&file, &text).unwrap();
    assert_eq!(String::from_utf8(show().stdout).unwrap(), text);
    check_in(folder.path(), &["config", "show", "--json"], "", 0, "\"timeout\": \"10m\"");
}

#[test]
fn every_command_begins_its_help_with_examples() {
    let commands = [
        "demo",
        "init",
        "serve",
        "check",
        "trigger",
        "explain",
        "verify",
        "sign-url",
        "archive",
        "archive list",
        "archive verify",
        "config",
        "config schema",
        "config show",
        "completions",
        "health",
        "events",
        "export",
        "listen",
        "drain",
        "dead-letters",
        "dead-letters list",
        "dead-letters export",
        "dead-letters purge",
        "replay",
        "sinks",
        "sinks list",
        "sinks pause",
        "sinks resume",
        "sinks retry-now",
        "sinks rename",
        "sinks forget",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let output = vodrelay(&std::env::temp_dir(), &words, "");
        let text = String::from_utf8(output.stdout).unwrap();
        let (examples, options) =
            (text.find("Examples:"), text.find("Options:").or_else(|| text.find("Commands:")));
        assert!(examples.is_some() && examples < options, "{command}:\n{text}");
    }
}

#[test]
fn the_schema_and_completions_are_printed() {
    check(&["config", "schema"], "", 0, "\"callbacks\"");
    check(&["completions", "bash"], "", 0, "vodrelay");
}

#[test]
fn health_of_nobody_is_69() {
    check(&["health", "--admin", "127.0.0.1:1"], "", 69, "is `vodrelay serve` running?");
}

#[test]
fn a_new_data_dir_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    let opened = folder.path().join("opened");
    let clock = Arc::new(SystemClock);
    SqliteJournal::open(&opened, vodrelay_journal::Config::default(), RefusedBounds::default(), clock)
        .unwrap();
    assert_eq!(mode("opened"), 0o700);
}
