//! Confirms that each commit is synced, from the system calls of a relay that takes a short load.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Bench;
use crate::load::{Until, closed_loop};
use crate::relay::{Relay, nobody};

const EVENTS: u64 = 2_000;
const CLIENTS: usize = 16;
const LOG: &str = "journal.sqlite3-wal";

/// One sentence on what was seen. Without strace it says that nothing was.
pub(crate) fn confirm(bench: &Bench) -> Result<String, String> {
    if Command::new("strace").arg("--version").output().is_err() {
        return Ok("Full sync was NOT confirmed: strace is not installed.".to_owned());
    }
    let folder = bench.folder.join("traced");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let trace = folder.join("trace");
    // The tracer is a grandchild, so that the relay itself is ours to stop.
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o"]).arg(&trace).arg(&bench.vodrelay);
    let relay = Relay::launch(command, &folder, nobody()?)?;
    relay.until_ready()?;
    closed_loop(relay.http, CLIENTS, Until::Sent(EVENTS))?;
    let commits = relay.metric("vodrelay_journal_fsync_duration_seconds_count")? as usize;
    relay.process.stop()?;
    let syncs = syncs(&trace)?;
    if commits == 0 || syncs < commits {
        return Err(format!("the relay does not sync fully: {syncs} syncs of the log for {commits} commits"));
    }
    Ok(format!(
        "Full sync confirmed from the system calls: {EVENTS} callbacks of {CLIENTS} clients were accepted in {commits} commits, \
         with {syncs} successful syncs of the log in the relay's whole life."
    ))
}

/// Syncs of the log that succeeded, each begun by the journal's one writer. A failed one poisons the journal, so the
/// relay has not got here then.
fn syncs(trace: &Path) -> Result<usize, String> {
    let text = fs::read_to_string(trace).map_err(|error| format!("strace left no trace: {error}"))?;
    let begun = text.lines().filter(|line| line.contains("sync(") && line.contains(LOG));
    Ok(begun.filter(|line| line.ends_with("= 0") || line.ends_with("<unfinished ...>")).count())
}
