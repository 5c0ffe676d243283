//! An event that is hard to pass on, through every way out: numbers that no machine number holds, letters that a
//! terminal obeys, lines inside a member. What comes out is JSON, says the same, and keeps nothing else from coming out.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, attempt, client, configuration, free_port, until, webhook};

const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers that are altered where a 64-bit integer or a double holds them.
const NUMBERS: [&str; 3] = ["1.50E+400", "123456789012345678901234567890", "-0.10"];

/// A name from right to left, between marks that turn the direction of writing.
const TITLE: &str = "\u{202b}\u{634}\u{200f}\u{202c}\u{7f}";

/// The member as a sender may write it that ends its lines with both characters.
fn body() -> Bytes {
    let [exponent, long, small] = NUMBERS;
    let inner =
        format!("{{\r\n  \"Long\": {long},\r\n  \"Small\": {small},\r\n  \"Title\": \"{TITLE}\"\r\n}}");
    let members = format!(r#""Status":"success","VideoId":"v","Exponent":{exponent},"Inner":{inner}"#);
    format!(r#"{{"EventType":"FileUploadComplete","EventTime":"2024-03-05T09:12:58Z",{members}}}"#).into()
}

/// The event in what was put out, whatever stands around it.
#[derive(Deserialize)]
struct Told<'t> {
    #[serde(borrow, alias = "data")]
    event: &'t RawValue,
}

/// The members of an event that this is about.
#[derive(Deserialize)]
struct Event<'t> {
    #[serde(borrow)]
    fields: Fields<'t>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields<'t> {
    #[serde(borrow)]
    exponent: &'t RawValue,
    inner: Inner<'t>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner<'t> {
    #[serde(borrow)]
    long: &'t RawValue,
    #[serde(borrow)]
    small: &'t RawValue,
    title: String,
}

/// That the event in the text says what the sender's did.
#[track_caller]
fn check(text: &str) {
    let told: Told<'_> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let Event { fields: Fields { exponent, inner } } = serde_json::from_str(told.event.get()).unwrap();
    assert_eq!([exponent.get(), inner.long.get(), inner.small.get()], NUMBERS, "{text}");
    assert_eq!(inner.title, TITLE, "{text}");
}

/// What a command prints, of which a terminal obeys nothing.
#[track_caller]
fn printed(folder: &Path, words: &[&str]) -> String {
    let output = vodrelay(folder, words, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains([TITLE.chars().next().unwrap(), '\u{7f}', '\r']), "{text:?}");
    text
}

/// A relay that delivers in each format, and keeps in an archive.
async fn start(folder: &Path, hook: &Receiver) -> Process {
    let (http, admin) = (free_port(), free_port());
    let mut config = configuration(http, admin);
    for format in ["raw", "standard", "cloudevents"] {
        config += &webhook(hook.address)
            .replace("hook]", &format!("{format}]"))
            .replace("hook.", &format!("{format}."));
        config += &format!("format = \"{format}\"\n");
    }
    config += "source = \"https://relay.example.com\"\n";
    config += "[sinks.archive]\nkind = \"archive\"\nwhere = { Exponent = \"1.50E+400\" }\noptions = { url = \"file:archive\" }\n";
    std::fs::create_dir(folder.join("archive")).unwrap();
    Process::start_with(folder, &config, http, admin).await
}

fn letters(folder: &Path) -> usize {
    let listed = vodrelay(folder, &["dead-letters", "list"], "");
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains("410")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hard_to_pass_on_comes_out_of_every_way_unaltered() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let hook = Receiver::start().await;
    hook.answer_with(410);
    let relay = start(folder, &hook).await;
    let client = client();
    let id = vod_event::read(&body()).unwrap().id().to_string();
    assert_eq!(attempt(&client, relay.http, body(), "AnotherKey2026").await, Some(401));
    check(&printed(folder, &["refused", "explain", "1", "--json"]));
    check_in(folder, &["refused", "explain", "1"], "", 0, "1.50E+400");

    for body in [event_body(1), body()] {
        accepted(&client, relay.http, body).await;
    }
    until("six dead letters", PATIENCE, || letters(folder) == 6).await;
    check(&printed(folder, &["explain", &id, "--json"]));
    let exported = printed(folder, &["dead-letters", "export"]);
    assert_eq!(exported.lines().count(), 6, "a line for each: {exported}");
    let ours: Vec<&str> = exported.lines().filter(|line| line.contains(&id)).collect();
    assert_eq!(ours.len(), 3, "the other event is told as well");
    ours.into_iter().for_each(check);
    archived(folder, &id).await;

    hook.answer_with(200);
    check_in(folder, &["replay", &id], "", 0, "replayed deliveries: 3 again");
    until("a body of each format", PATIENCE, || hook.count() == 3).await;
    assert!(hook.has(&body()), "raw is raw");
    for sent in hook.bodies().into_iter().filter(|sent| *sent != body()) {
        check(std::str::from_utf8(&sent).unwrap());
    }
}

/// The record is one line, and the commands that read it read it.
async fn archived(folder: &Path, id: &str) {
    let record = folder.join(format!("archive/events/date=2024-03-05/{id}.json"));
    until("the record", PATIENCE, || record.exists()).await;
    let text = std::fs::read_to_string(record).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    check(&text);
    let listed = printed(folder, &["archive", "list", "--json"]);
    assert!(listed.lines().count() == 1 && listed.contains(id), "the filter is true of it alone: {listed}");
    check_in(folder, &["archive", "verify"], "", 0, "1 records; no images; mismatches: 0");
}
