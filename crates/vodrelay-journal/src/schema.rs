//! The tables and their version.

use rusqlite::{Connection, OptionalExtension, params};

/// The schema that this version writes.
pub(crate) const VERSION: i64 = 5;
/// Marks the file as ours: "vodr".
const APPLICATION: i64 = 0x766f_6472;
const TABLES: &str = include_str!("schema.sql");
/// What each later schema adds to the one before it. The first version's readers and writers work with all of them.
const ADDITIONS: [(i64, &str); 6] = [
    (2, include_str!("schema/2_history.sql")),
    (2, include_str!("schema/2_orders.sql")),
    (3, include_str!("schema/3_audit.sql")),
    (3, include_str!("schema/3_jobs.sql")),
    (4, include_str!("schema/4_traces.sql")),
    (5, include_str!("schema/5_forgotten.sql")),
];
/// The first schema whose version can work with a file of this one.
const READABLE_FROM: i64 = 1;

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing is in it yet.
    Empty,
    /// A journal that this version can work with.
    Journal,
    /// A journal that only a later version can work with.
    Newer { found: i64, written_by: String },
    /// A database of somebody else.
    Foreign,
}

/// Looks at the file without changing it.
pub(crate) fn look(conn: &Connection) -> rusqlite::Result<Found> {
    let number = |pragma: &str| conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let tables: i64 = conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    if tables == 0 && application == 0 {
        return Ok(Found::Empty);
    }
    if application != APPLICATION {
        return Ok(Found::Foreign);
    }
    // A later schema may say that it only added things, and from which version on it can be read.
    let readable_from: i64 = meta(conn, "readable_from")?.unwrap_or(version);
    if version > VERSION && readable_from > VERSION {
        let written_by = meta(conn, "written_by")?.unwrap_or_else(|| "unknown".to_owned());
        return Ok(Found::Newer { found: version, written_by });
    }
    Ok(Found::Journal)
}

/// Makes the tables of an empty file, in the running transaction.
pub(crate) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(TABLES)?;
    conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1;"))?;
    conn.execute("INSERT INTO meta (key, value) VALUES ('readable_from', ?1)", [READABLE_FROM])?;
    migrate(conn)
}

/// Adds what the file does not have yet, in the running transaction. One of a later version is left as it is.
pub(crate) fn migrate(conn: &Connection) -> rusqlite::Result<()> {
    let found = version(conn)?;
    for (number, statements) in ADDITIONS.iter().filter(|(number, _)| *number > found) {
        conn.execute_batch(statements)?;
        conn.execute_batch(&format!("PRAGMA user_version = {number};"))?;
    }
    Ok(())
}

/// The schema of the file.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Notes which version works with the file, and counts how often it was opened.
pub(crate) fn note_opening(conn: &Connection) -> rusqlite::Result<i64> {
    conn.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('written_by', ?1)",
        params![env!("CARGO_PKG_VERSION")],
    )?;
    conn.query_row(
        "INSERT INTO meta (key, value) VALUES ('openings', 1)
         ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |row| row.get(0),
    )
}

fn meta<T: rusqlite::types::FromSql>(conn: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [name], |row| row.get(0)).optional()
}
