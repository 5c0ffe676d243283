//! The queries of docs/JOURNAL.md, run as they stand there, beside a journal that is open.

use rusqlite::{Connection, OpenFlags};
use vodrelay_core::Outcome;

use crate::bench::Bench;

const DOCUMENT: &str = include_str!("../../../../docs/JOURNAL.md");

/// What stands between the fences of the section.
fn documented() -> Vec<&'static str> {
    let section = DOCUMENT.split("## Reading it with SQL\n").nth(1).unwrap().split("\n## ").next().unwrap();
    section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// The rows of a query, as text.
fn rows(conn: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = conn.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    let columns = statement.column_count();
    let read = |row: &rusqlite::Row<'_>| {
        let cell = |index| {
            row.get_ref(index)
                .map(|value| value.as_str().map_or_else(|_| format!("{value:?}"), str::to_owned))
        };
        (0..columns).map(cell).collect::<Result<_, _>>()
    };
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_documented_queries_say_what_the_journal_holds() {
    let bench = Bench::new();
    bench.deliver(1).await;
    bench.append(2, &["a", "b"]).await;
    let claims = bench.claim("a", 9).await;
    bench.settle(&claims[0], Outcome::RetryAt("2000-01-01T00:00:00Z".parse().unwrap())).await;
    let again = bench.claim("a", 9).await;
    bench.settle(&again[0], Outcome::DeadLetter("410 Gone".to_owned())).await;

    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let conn = Connection::open_with_flags(bench.folder.path().join("journal.sqlite3"), flags).unwrap();
    let queries = documented();
    let (views, queries) = queries.split_first().unwrap();
    conn.execute_batch(views).unwrap();
    assert!(queries.len() >= 7, "{queries:#?}");
    let event = bench.event(2);
    let video = event.event().unwrap().video_id.clone().unwrap();
    for query in queries {
        let query = query.replace("a-video", &video);
        let found = rows(&conn, &query);
        assert!(!found.is_empty(), "nothing comes of {query}");
        if query.contains("USING (seq)\nWHERE event.video_id") {
            let sinks: Vec<&str> = found.iter().map(|row| row[4].as_str()).collect();
            assert_eq!((&found[0][0], sinks), (&event.id.to_string(), vec!["a", "b"]), "{query}");
        }
        if query.contains("max(settled_at)") {
            assert_eq!(found[0][..2], ["a", "410 Gone"], "{query}");
        }
    }
    let received = rows(&conn, "SELECT received_at FROM event WHERE seq = 2");
    assert_eq!(received[0][0].parse::<jiff::Timestamp>().unwrap().as_second(), event.received_at.as_second());
    assert!(conn.execute("DELETE FROM main.events", []).is_err(), "nothing is written by whoever only reads");
}
