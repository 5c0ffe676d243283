//! SQLite's own look at the file: pages, cells, order, indexes against tables. It keeps a bit for each page in memory.

use super::{FindingKind, Look};

/// SQLite stops after so many; a file that has as many is to be salvaged, whatever the next one says.
const MOST: usize = 100;

/// Without a relay the whole file at once, beside one table by table.
pub(super) fn check(look: &mut Look<'_>) -> rusqlite::Result<()> {
    if !look.is_running {
        return run(look, "PRAGMA integrity_check(100)");
    }
    let tables: Vec<String> = look
        .conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in tables {
        let pragma = format!("PRAGMA integrity_check('{}')", table.replace('\'', "''"));
        if let Err(error) = look.within_patience(|look| run(look, &pragma)) {
            look.gave_up(&format!("the structure of the table {table}"), &error);
        }
    }
    Ok(())
}

fn run(look: &mut Look<'_>, pragma: &str) -> rusqlite::Result<()> {
    let mut found: Vec<String> = Vec::new();
    let read = (|| {
        let mut statement = look.conn.prepare(pragma)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found.push(row.get(0)?);
        }
        Ok(())
    })();
    for what in found.into_iter().filter(|what| what != "ok" && !what.contains("interrupted")).take(MOST) {
        look.found(FindingKind::Structure, what);
    }
    read
}
