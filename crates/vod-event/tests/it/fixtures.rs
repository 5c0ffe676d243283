//! Walks `fixtures/events/`: every body with what it reads as, side by side. Adding a body adds a case.
//!
//! `UPDATE_EXPECT=1` writes the `.expect` files anew, except for their first line: that is the outcome that the case
//! stands for, and it is written by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use vod_event::{Event, EventId, Unreadable, queue, read};

/// One body, and the file that says what it reads as.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
    expect: PathBuf,
}

#[test]
fn every_fixture_reads_as_expected() {
    let is_update = std::env::vars_os().any(|(name, _)| name == "UPDATE_EXPECT");
    let mut wrong = Vec::new();
    let mut counts = [("accepted", 0), ("accepted with a doubt", 0), ("unreadable", 0)];
    for fixture in fixtures() {
        let expect = fs::read_to_string(&fixture.expect).unwrap_or_default();
        let (outcome, found) = describe(&fixture.body);
        let wanted = expect.lines().next().unwrap_or(outcome);
        counts.iter_mut().filter(|(name, _)| *name == outcome).for_each(|(_, count)| *count += 1);
        if wanted != outcome {
            wrong.push(format!("{}: expected to be {wanted}, is {outcome}\n{found}", fixture.name));
        } else if is_update {
            fs::write(&fixture.expect, &found).unwrap();
        } else if found != expect {
            wrong.push(format!("{}: expected\n{expect}\nfound\n{found}", fixture.name));
        }
    }
    println!("{counts:?}");
    assert!(counts.iter().all(|(_, count)| *count > 0), "the fixtures are not there: {counts:?}");
    assert!(wrong.is_empty(), "{}\n{} fixtures are not as expected", wrong.join("\n"), wrong.len());
}

#[test]
fn no_expectation_is_left_without_its_fixture() {
    let known: Vec<_> = fixtures().into_iter().map(|fixture| fixture.expect).collect();
    let strays: Vec<_> =
        files().into_iter().filter(|path| is(path, "expect") && !known.contains(path)).collect();
    assert!(strays.is_empty(), "{strays:?}");
}

/// All fixtures in the order of their names; bodies of queue messages (`.txt`) without their Base64.
pub(crate) fn fixtures() -> Vec<Fixture> {
    let load = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let body = if is(&path, "txt") { queue::decode_body(&bytes).into_owned() } else { bytes };
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        Fixture { name, body, expect: path.with_extension("expect") }
    };
    files().into_iter().filter(|path| !is(path, "expect")).map(load).collect()
}

/// The bodies that can be read.
pub(crate) fn readable() -> Vec<Fixture> {
    fixtures().into_iter().filter(|fixture| read(&fixture.body).is_ok()).collect()
}

fn files() -> Vec<PathBuf> {
    let entries = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut files: Vec<_> = entries(&root()).iter().flat_map(|directory| entries(directory)).collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/events")
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn describe(body: &[u8]) -> (&'static str, String) {
    match read(body) {
        Ok(reading) => {
            let id = reading.id();
            describe_event(id, &reading.into_event())
        }
        Err(unreadable) => describe_unreadable(body, &unreadable),
    }
}

fn describe_event(id: EventId, event: &Event) -> (&'static str, String) {
    let outcome = if event.doubts.is_empty() { "accepted" } else { "accepted with a doubt" };
    let json = serde_json::to_string_pretty(event).unwrap();
    (outcome, format!("{outcome}\n{id}\n{json}\n"))
}

fn describe_unreadable(body: &[u8], unreadable: &Unreadable) -> (&'static str, String) {
    let mut text = String::new();
    writeln!(text, "unreadable\n{}", EventId::of_raw(body)).unwrap();
    writeln!(text, "unreadable: {unreadable}").unwrap();
    ("unreadable", text)
}
