//! Salvage: of a journal with flipped bits everything whose rows are undamaged is in the new one, and the rest is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use vodrelay_core::Outcome;
use vodrelay_fault_vfs::{Dice, flip_bits};
use vodrelay_journal::{CopyError, Loss, LossKind, OpenError, Salvaged, backup, salvage};

use crate::backup::{Findings, verify_whole};
use crate::bench::{Bench, copy_files};

const EVENTS: usize = 120;

/// What stands there of an event: its row, and its deliveries by their ids, each whole.
#[derive(Debug, PartialEq)]
struct Event {
    row: Vec<Value>,
    deliveries: BTreeMap<i64, Vec<Value>>,
}

impl Event {
    fn body(&self) -> &Value {
        self.row.last().unwrap()
    }
}

/// A journal with a bit of everything; the log keeps what came last.
async fn journal() -> tempfile::TempDir {
    let bench = Bench::new();
    let sinks: [&[&str]; 4] = [&["a", "b"], &["a"], &["b"], &[]];
    for number in 0..EVENTS {
        bench.append(number, sinks[number % 4]).await;
    }
    let due = "2000-01-01T00:00:00Z".parse().unwrap();
    let outcomes = [Outcome::Delivered, Outcome::DeadLetter("gone".to_owned()), Outcome::RetryAt(due)];
    for (number, claim) in bench.claim("a", 60).await.iter().enumerate() {
        bench.settle(claim, outcomes[number % 3].clone()).await;
    }
    let copy = tempfile::tempdir().unwrap();
    copy_files(bench.folder.path(), copy.path());
    copy
}

/// Moves the log into the file, so that a bit that flips meets the file.
fn fold(folder: &Path) {
    let conn = Connection::open(folder.join("journal.sqlite3")).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn change(folder: &Path, sql: &str) {
    Connection::open(folder.join("journal.sqlite3")).unwrap().execute_batch(sql).unwrap();
}

/// Each event as far as one look for it alone finds it.
fn read(folder: &Path) -> BTreeMap<i64, Event> {
    read_those(folder, 1..=EVENTS as i64)
}

/// All events of a journal that is whole.
fn read_all(folder: &Path) -> Vec<Event> {
    let conn = Connection::open(folder.join("journal.sqlite3")).unwrap();
    let mut numbers = conn.prepare("SELECT seq FROM events").unwrap();
    let numbers: Vec<i64> = numbers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    read_those(folder, numbers).into_values().collect()
}

fn read_those(folder: &Path, numbers: impl IntoIterator<Item = i64>) -> BTreeMap<i64, Event> {
    let Ok(conn) = Connection::open(folder.join("journal.sqlite3")) else { return BTreeMap::new() };
    let whole = |row: &Row<'_>| (0..row.as_ref().column_count()).map(|column| row.get(column)).collect();
    let read = |seq: i64| -> rusqlite::Result<Event> {
        let event = conn.query_row("SELECT * FROM events WHERE seq = ?1", [seq], whole)?;
        let mut statement =
            conn.prepare("SELECT * FROM deliveries WHERE id BETWEEN ?1 << 12 AND ?1 << 12 | 4095")?;
        let deliveries = statement.query_map([seq], whole)?.collect::<rusqlite::Result<Vec<Vec<Value>>>>()?;
        let by_id = deliveries.into_iter().map(|row| match row[0] {
            Value::Integer(id) => (id, row),
            _ => panic!("{row:?}"),
        });
        Ok(Event { row: event, deliveries: by_id.collect() })
    };
    numbers.into_iter().filter_map(|seq| read(seq).ok().map(|event| (seq, event))).collect()
}

/// Salvages; the source stays as it is, and the new journal is whole.
fn run(folder: &Path) -> (tempfile::TempDir, Salvaged, Vec<Loss>) {
    let (to, mut losses) = (tempfile::tempdir().unwrap(), Vec::new());
    let bytes = |name: &str| std::fs::read(folder.join(name)).ok();
    let before = (bytes("journal.sqlite3"), bytes("journal.sqlite3-wal"));
    let salvaged = salvage(folder, to.path(), &mut |loss| losses.push(loss)).unwrap();
    assert!(before == (bytes("journal.sqlite3"), bytes("journal.sqlite3-wal")), "the source was touched");
    assert_eq!(salvaged.losses, losses.len() as u64);
    let verified = verify_whole(to.path());
    assert_eq!((verified.events, verified.deliveries), (salvaged.events, salvaged.deliveries));
    assert!(!to.path().join("salvage.partial").exists());
    (to, salvaged, losses)
}

#[tokio::test]
async fn of_a_whole_journal_everything_is_salvaged() {
    let folder = journal().await;
    let (to, salvaged, losses) = run(folder.path());
    assert_eq!(losses, []);
    assert_eq!((salvaged.events, salvaged.deliveries), (120, 120));
    assert_eq!(read(to.path()), read(folder.path()));
}

#[tokio::test]
async fn flipped_bits_cost_what_they_hit_and_no_more() {
    let slow = std::env::vars().any(|(name, _)| name == "RUN_SLOW_TESTS");
    let whole = journal().await;
    fold(whole.path());
    let expected = read(whole.path());
    let mut lost = 0;
    for seed in 0..if slow { 300 } else { 8 } {
        let folder = tempfile::tempdir().unwrap();
        copy_files(whole.path(), folder.path());
        let file = folder.path().join("journal.sqlite3");
        let offsets = flip_bits(&file, seed, 1 + Dice::new(seed).pick(5)).unwrap();
        let (to, report, losses) = run(folder.path());
        let salvaged = read(to.path());
        // Looked for one by one, these read as they were written.
        let undamaged =
            read(folder.path()).into_iter().filter(|(seq, event)| expected.get(seq) == Some(event));
        for (seq, event) in undamaged {
            let is_there = salvaged
                .get(&seq)
                .is_some_and(|there| there.body() == event.body() && there.deliveries == event.deliveries);
            assert!(
                is_there,
                "seed {seed}: event {seq}, flips at {offsets:?}: {losses:#?} {:?} {:?}",
                event.deliveries,
                salvaged.get(&seq).map(|e| &e.deliveries)
            );
        }
        for (seq, event) in &salvaged {
            assert!(expected[seq].body() == event.body(), "seed {seed}: event {seq} has another body");
        }
        let gone = expected.len() - salvaged.len();
        let told = report.events_lost;
        assert!(gone as u64 <= told, "seed {seed}: {gone} are gone, and {told} are told: {losses:#?}");
        lost += gone;
    }
    println!("{lost} events lost to flipped bits");
}

/// The bytes of the number of each row in the leaves of a table: where they are in the file.
fn row_numbers(file: &Path, table: &str) -> Vec<Range<usize>> {
    let conn = Connection::open(file).unwrap();
    let root: usize = conn
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
        .unwrap();
    drop(conn);
    let bytes = std::fs::read(file).unwrap();
    let number = |place: usize| usize::from(bytes[place]) << 8 | usize::from(bytes[place + 1]);
    let (mut pages, mut found) = (vec![root], Vec::new());
    while let Some(page) = pages.pop() {
        let begin = (page - 1) * 4_096;
        let is_leaf = bytes[begin] == 13;
        let pointers = begin + if is_leaf { 8 } else { 12 };
        let cells = (0..number(begin + 3)).map(|cell| begin + number(pointers + 2 * cell));
        // Seven bits to a byte.
        let behind = |begin: usize| (begin..).find(|at| bytes[*at] < 0x80).unwrap() + 1;
        let child = |place: usize| u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap()) as usize;
        if is_leaf {
            // The size of the row stands before its number.
            found.extend(cells.map(|cell| behind(cell)..behind(behind(cell))));
        } else {
            pages.extend(cells.map(child));
            pages.push(child(begin + 8));
        }
    }
    found
}

/// The deliveries that wait: of which body, to which sink.
fn waiting(event: &Event) -> Vec<(String, i64)> {
    let body = format!("{:?}", event.body());
    let waits = event.deliveries.values().filter(|row| matches!(row[2], Value::Integer(0 | 1)));
    let sink = |row: &Vec<Value>| match row[1] {
        Value::Integer(sink) => sink,
        _ => panic!("{row:?}"),
    };
    waits.map(|row| (body.clone(), sink(row))).collect()
}

/// The row is whole, but a search does not find it, nor perhaps others of its page; a backup would lack them.
#[tokio::test]
async fn a_bit_that_flips_in_a_rows_number_costs_no_event_and_is_told() {
    let whole = journal().await;
    fold(whole.path());
    let expected = read(whole.path());
    let bodies: Vec<_> = expected.values().map(Event::body).collect();
    let slow = std::env::vars().any(|(name, _)| name == "RUN_SLOW_TESTS");
    let (mut tried, mut slipped) = (0, 0);
    for table in ["events", "deliveries"] {
        let places = row_numbers(&whole.path().join("journal.sqlite3"), table);
        assert_eq!(places.len(), 120, "{table}");
        for (number, place) in places.into_iter().enumerate().step_by(if slow { 4 } else { 30 }) {
            let folder = tempfile::tempdir().unwrap();
            copy_files(whole.path(), folder.path());
            let context = format!("row {number} of {table}");
            tried += 1;
            let (at, bit) = (place.start + number % place.len(), number / 3 % 7);
            let file = folder.path().join("journal.sqlite3");
            vodrelay_fault_vfs::flip_bit(&file, at as u64, bit as u8).unwrap();
            let (to, report, losses) = run(folder.path());
            let salvaged = read_all(to.path());
            let is_there = |body: &Value| salvaged.iter().any(|event| event.body() == body);
            assert!(bodies.iter().all(|body| is_there(body)), "{context}: {losses:#?}");
            assert_eq!(report.events_lost, 0, "{context}: {losses:#?}");
            let waited = expected.values().flat_map(waiting).collect::<BTreeSet<_>>();
            let waits = salvaged.iter().flat_map(waiting).collect();
            let gone = waited.difference(&waits).count();
            // Of a delivery that is another's now, nobody knows whose it was, and to which of the two sinks.
            let told = losses.iter().filter(|loss| loss.what.contains("`vodrelay replay")).count();
            let may_be_told = if table == "deliveries" { 3 } else { 0 };
            assert!(gone <= told && told <= may_be_told, "{context}: {gone} wait no more: {losses:#?}");
            let to = to.path();
            let refused = backup(folder.path(), &to.join("still"), &mut |_| {}).map(drop).unwrap_err();
            assert!(matches!(refused, CopyError::Damaged { .. }), "{context}: {refused}");
            // Beside a relay deliveries come and go, so that they cannot be counted.
            let lock = File::create(folder.path().join("journal.lock")).unwrap();
            lock.lock().unwrap();
            let is_refused = backup(folder.path(), &to.join("running"), &mut |_| {}).is_err();
            assert!(is_refused || table == "deliveries", "{context}");
            slipped += usize::from(!is_refused);
        }
    }
    println!("{slipped} of {tried} slipped into the backup of a running relay");
    assert!(slipped * 4 < tried, "{slipped} of {tried} slipped into the backup of a running relay");
}

/// A delivery that is settled comes by one bit to the key of one that waits. That one waits all the same, and the other is
/// known by those beside it.
#[tokio::test]
async fn a_delivery_in_the_place_of_another_does_not_settle_it() {
    let whole = journal().await;
    fold(whole.path());
    change(whole.path(), "UPDATE deliveries SET state = 2, due_at = NULL WHERE (id >> 13) & 1");
    let slow = std::env::vars().any(|(name, _)| name == "RUN_SLOW_TESTS");
    let expected = read(whole.path());
    let deliveries: BTreeMap<i64, bool> = expected
        .values()
        .flat_map(|event| {
            event.deliveries.iter().map(|(id, row)| (*id, matches!(row[2], Value::Integer(0 | 1))))
        })
        .collect();
    let file = whole.path().join("journal.sqlite3");
    let (bytes, mut met, mut tried, mut told) = (std::fs::read(&file).unwrap(), 0, 0, 0);
    for place in row_numbers(&file, "deliveries") {
        let key = place.clone().fold(0, |key, at| key << 7 | i64::from(bytes[at] & 0x7f));
        let waits = |bit: &usize| !deliveries[&key] && deliveries.get(&(key ^ 1 << *bit)) == Some(&true);
        for bit in (12..7 * place.len()).filter(waits) {
            met += 1;
            if !slow && met % 16 != 0 {
                continue;
            }
            tried += 1;
            let folder = tempfile::tempdir().unwrap();
            copy_files(whole.path(), folder.path());
            let at = place.end - 1 - bit / 7;
            vodrelay_fault_vfs::flip_bit(&folder.path().join("journal.sqlite3"), at as u64, (bit % 7) as u8)
                .unwrap();
            let (to, _, losses) = run(folder.path());
            let salvaged = read_all(to.path());
            let settled = salvaged.iter().any(|event| {
                event.deliveries.get(&key).is_some_and(|row| matches!(row[2], Value::Integer(2 | 3)))
            });
            let waited = expected.values().flat_map(waiting).collect::<BTreeSet<_>>();
            let waits = salvaged.iter().flat_map(waiting).collect();
            // At the end of the table nothing tells which of two is out of place: nobody knows whose it was.
            if losses.iter().any(|loss| loss.what.contains("`vodrelay replay")) {
                told += 1;
                continue;
            }
            assert!(waited.is_subset(&waits), "delivery {key}, bit {bit}: {losses:#?}");
            assert!(settled, "delivery {key}, bit {bit} is in its place again: {losses:#?}");
        }
    }
    println!("of {tried} that moved {told} were told");
    assert!(tried > 3 && told * 10 < tried, "of {tried} that moved {told} were told");
}

#[tokio::test]
async fn what_was_acknowledged_behind_damage_in_the_log_is_read() {
    let whole = journal().await;
    let expected = {
        let copy = tempfile::tempdir().unwrap();
        copy_files(whole.path(), copy.path());
        read(copy.path())
    };
    for seed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        copy_files(whole.path(), folder.path());
        let log = folder.path().join("journal.sqlite3-wal");
        let middle = std::fs::metadata(&log).unwrap().len() * (1 + seed % 8) / 10 + seed * 131;
        vodrelay_fault_vfs::flip_bit(&log, middle, 5).unwrap();
        let (to, salvaged, losses) = run(folder.path());
        assert!(losses.iter().any(|loss| loss.what.contains("the log")), "seed {seed}: {losses:#?}");
        assert!(salvaged.events >= EVENTS as u64 - 20, "seed {seed}: {losses:#?}");
        assert!(read(to.path()).iter().all(|(seq, event)| expected[seq].body() == event.body()));
    }
}

#[tokio::test]
async fn a_journal_whose_first_page_is_gone_is_salvaged() {
    let folder = journal().await;
    fold(folder.path());
    let expected = read(folder.path());
    let file = folder.path().join("journal.sqlite3");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..4_096].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let (to, _, losses) = run(folder.path());
    assert_eq!(losses.iter().map(|loss| loss.kind).collect::<Vec<_>>(), [LossKind::Mended]);
    assert_eq!(read(to.path()), expected);
}

#[tokio::test]
async fn a_letter_that_flips_in_the_schema_costs_nothing() {
    let folder = journal().await;
    fold(folder.path());
    let expected = read(folder.path());
    let file = folder.path().join("journal.sqlite3");
    let whole = std::fs::read(&file).unwrap();
    for (table, column) in [("events", "labels"), ("deliveries", "tries"), ("refusals", "cause")] {
        let mut bytes = whole.clone();
        // SQLite moves its schema as it grows, and what it left behind is there as well.
        for begin in places(&whole, &format!("CREATE TABLE {table} (")) {
            bytes[begin + places(&whole[begin..], column)[0]] ^= 1;
        }
        std::fs::write(&file, &bytes).unwrap();
        let (to, _, losses) = run(folder.path());
        assert_eq!(losses.iter().map(|loss| loss.kind).collect::<Vec<_>>(), [LossKind::Mended], "{table}");
        assert!(read(to.path()) == expected, "{table}");
    }
}

fn places(bytes: &[u8], text: &str) -> Vec<usize> {
    let begins = bytes.windows(text.len()).enumerate();
    begins.filter(|(_, window)| *window == text.as_bytes()).map(|(place, _)| place).collect()
}

#[tokio::test]
async fn a_body_that_is_not_what_was_accepted_is_kept_beside() {
    let folder = journal().await;
    fold(folder.path());
    change(folder.path(), "UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 7");
    let mut findings = Findings::default();
    vodrelay_journal::verify(folder.path(), &mut findings).unwrap();
    assert!(findings.0.iter().any(|found| found.starts_with("body: event 7")), "{:?}", findings.0);
    let (to, salvaged, losses) = run(folder.path());
    assert_eq!(salvaged.events, 119);
    assert_eq!(losses.iter().map(|loss| loss.kind).collect::<Vec<_>>(), [LossKind::KeptOut]);
    assert_eq!(std::fs::read(to.path().join("kept-out/7.body")).unwrap(), b"{}");
}

/// What no search and no walk finds is missed by the counters.
#[tokio::test]
async fn what_is_counted_and_not_found_is_told_and_never_backed_up() {
    for (sql, told) in [
        ("UPDATE totals SET events = events + 2", "events that the journal counts and that are not found: 2"),
        ("UPDATE totals SET refusals = 1", "refusals that the journal counts and that are not found: 1"),
        (
            "UPDATE sinks SET dead_letters = dead_letters + 1 WHERE name = 'b'",
            "deliveries to b that the journal counts",
        ),
    ] {
        let folder = journal().await;
        fold(folder.path());
        change(folder.path(), sql);
        let (to, salvaged, losses) = run(folder.path());
        assert_eq!(losses.len(), 1, "{sql}: {losses:#?}");
        assert!(losses[0].kind == LossKind::Lost && losses[0].what.starts_with(told), "{sql}: {losses:#?}");
        assert_eq!(salvaged.events_lost, if sql.contains("events") { 2 } else { 0 }, "{sql}");
        let refused = backup(folder.path(), &to.path().join("backup"), &mut |_| {}).map(drop).unwrap_err();
        assert!(refused.to_string().contains("that it counts"), "{sql}: {refused}");
        assert!(!to.path().join("backup/journal.sqlite3").exists(), "{sql}");
    }
}

/// Its state has changed, or a delivery that is another's came to it: nobody knows, so both are told.
#[tokio::test]
async fn deliveries_of_an_event_that_says_it_has_none_are_kept_and_told() {
    let folder = journal().await;
    fold(folder.path());
    change(folder.path(), "UPDATE events SET state = 1 WHERE seq = 1");
    let (_, salvaged, losses) = run(folder.path());
    assert_eq!((salvaged.events, salvaged.deliveries), (120, 120));
    let told = "event 1 with 2 deliveries says that no sink has it";
    assert!(
        matches!(&losses[..], [loss] if loss.kind == LossKind::Lost && loss.what.starts_with(told)),
        "{losses:#?}"
    );
}

#[tokio::test]
async fn names_that_are_lost_are_told_once_for_all_events() {
    let folder = journal().await;
    fold(folder.path());
    change(folder.path(), "PRAGMA foreign_keys = OFF; DELETE FROM words");
    let (_, salvaged, losses) = run(folder.path());
    assert_eq!((salvaged.events, salvaged.events_lost), (120, 0));
    assert_eq!(losses.len(), 2, "{losses:#?}");
    let is_of_all = |loss: &Loss| loss.what.starts_with("120 events, from 1 to 120: their ");
    assert!(losses.iter().all(is_of_all), "{losses:#?}");
}

#[tokio::test]
async fn a_journal_in_use_is_left_alone() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let to = tempfile::tempdir().unwrap();
    let error = salvage(bench.folder.path(), to.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, CopyError::Source(OpenError::HeldBy { .. })), "{error}");
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
}
