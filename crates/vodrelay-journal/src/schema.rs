//! The tables and their version.

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

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

/// What of a file's tables is not as it was made, if something is. SQLite knows its tables by a text in the file, and a
/// letter of it that has changed may leave a name that no statement finds, long after the journal was opened.
pub(crate) fn damage(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let as_made = Connection::open_in_memory()?;
    as_made.execute_batch(TABLES)?;
    add(&as_made, 1, version(conn)?)?;
    let columns = columns(conn)?;
    let is_missing = |column: &Column| !columns.contains(column);
    Ok(self::columns(&as_made)?.into_iter().find(is_missing).map(|column| {
        let Column { table, name, .. } = column;
        format!("the column {name} of its table {table} is not as it was made")
    }))
}

/// A column of a table or an index.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Column {
    table: String,
    name: String,
    /// Type, whether it may be null, default, place in the key.
    rest: [Option<String>; 4],
}

fn columns(conn: &Connection) -> rusqlite::Result<HashSet<Column>> {
    let mut statement = conn.prepare(
        "SELECT t.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk
         FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'
         UNION ALL
         SELECT i.name, c.name, i.tbl_name, c.\"desc\", c.coll, c.seqno
         FROM sqlite_schema AS i, pragma_index_xinfo(i.name) AS c WHERE i.type = 'index' AND c.key",
    )?;
    let text = |row: &Row<'_>, column| -> rusqlite::Result<Option<String>> {
        let value: Value = row.get(column)?;
        Ok(match value {
            Value::Null => None,
            Value::Integer(number) => Some(number.to_string()),
            Value::Text(text) => Some(text),
            other => Some(format!("{other:?}")),
        })
    };
    let column = |row: &Row<'_>| {
        let rest = [text(row, 2)?, text(row, 3)?, text(row, 4)?, text(row, 5)?];
        Ok(Column { table: row.get(0)?, name: text(row, 1)?.unwrap_or_default(), rest })
    };
    statement.query_map([], column)?.collect()
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
    add(conn, found, VERSION)?;
    if found < VERSION {
        conn.execute_batch(&format!("PRAGMA user_version = {VERSION};"))?;
    }
    Ok(())
}

/// Adds what the schemas behind that one up to this one have.
fn add(conn: &Connection, behind: i64, up_to: i64) -> rusqlite::Result<()> {
    let meant = ADDITIONS.iter().filter(|(number, _)| (behind + 1..=up_to).contains(number));
    meant.map(|(_, statements)| statements).try_for_each(|statements| conn.execute_batch(statements))
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
