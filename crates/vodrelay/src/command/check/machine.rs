//! What `check` finds on this machine: the place of the journal, and what the journal holds.

use std::path::Path;

use vodrelay_core::config::ByteSize;
use vodrelay_core::ledger::{DeadLetter, LetterFilter};
use vodrelay_core::{JournalError, Pause, SinkBacklog};
use vodrelay_journal::Reader;

use super::{Finding, Verdict, finding};
use crate::config::Loaded;
use crate::relay::orphans;

/// How many dead letters are shown.
const SHOWN: usize = 3;

pub(super) fn data_dir(loaded: &Loaded) -> Finding {
    let folder = &loaded.data_dir;
    let shown = folder.display();
    // Whoever checks may be somebody else than the relay, so what is made for it goes again.
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists()).collect();
    let probe = || -> std::io::Result<()> {
        vodrelay_journal::make_folder(folder)?;
        tempfile::tempfile_in(folder).map(drop)
    };
    let found = match probe() {
        Ok(()) => room(folder, loaded.config.journal.min_free),
        Err(error) => finding(
            "data_dir",
            Verdict::Wrong,
            format!(
                "{shown} cannot be written: {error}; make it the relay's own, and check as its user: `sudo -u vodrelay vodrelay check`"
            ),
        ),
    };
    for made in missing {
        let _ = std::fs::remove_dir(made);
    }
    found
}

/// Below `journal.min_free` every callback would be answered 503 sooner or later.
fn room(folder: &Path, least: ByteSize) -> Finding {
    let shown = folder.display();
    let detail = match vodrelay_journal::free_bytes(folder) {
        Ok(free) if free < least.0 => {
            let free = ByteSize(free >> 20 << 20);
            let detail =
                format!("{shown} has {free} free, and journal.min_free is {least}; make room, or lower it");
            return finding("data_dir", Verdict::Wrong, detail);
        }
        Ok(_) => format!("{shown} can be written"),
        Err(error) => format!("{shown} can be written; how much room is free cannot be found out: {error}"),
    };
    finding("data_dir", Verdict::Ok, detail)
}

/// What the journal holds, if there is one yet. It is read beside the relay, which may be running.
pub(super) fn journal(loaded: &Loaded) -> Vec<Finding> {
    match loaded.data_dir.join(vodrelay_journal::FILE).try_exists() {
        Ok(true) => {}
        Ok(false) => {
            return vec![finding("journal", Verdict::Ok, "not there yet; `vodrelay serve` makes it")];
        }
        // That of the folder says so.
        Err(_) => return Vec::new(),
    }
    let read = |reader: Reader| {
        let letters = reader.dead_letters(&LetterFilter::default(), None, SHOWN)?;
        Ok((reader.totals()?, reader.backlogs()?, letters.items))
    };
    let found = Reader::open(&loaded.data_dir).map_err(|error| error.to_string());
    let read = found.and_then(|reader| read(reader).map_err(|error: JournalError| error.to_string()));
    let (totals, backlogs, letters) = match read {
        Ok(found) => found,
        Err(error) => return vec![finding("journal", Verdict::Wrong, error)],
    };
    let sum = |of: fn(&SinkBacklog) -> u64| backlogs.iter().map(of).sum::<u64>();
    let (pending, dead_letters) = (sum(|sink| sink.pending), sum(|sink| sink.dead_letters));
    let detail = format!("{} events, {pending} deliveries pending", totals.events);
    let mut findings = vec![finding("journal", Verdict::Ok, detail)];
    if dead_letters > 0 {
        let detail = format!(
            "dead letters: {dead_letters}; `vodrelay dead-letters list` tells why, `vodrelay replay --dead-letters` tries them again{}",
            some(&letters)
        );
        findings.push(finding("journal", Verdict::Warning, detail));
    }
    for SinkBacklog { sink, paused, .. } in &backlogs {
        let Some(Pause { since, reason }) = paused else { continue };
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let detail = format!("paused since {since:.0}{reason}; `vodrelay sinks resume {sink}` lets it go on");
        findings.push(finding(format!("sink {sink}"), Verdict::Warning, detail));
    }
    for SinkBacklog { sink, pending, .. } in orphans(&loaded.config, backlogs) {
        let detail = format!(
            "orphaned deliveries: {pending}; configure [sinks.{sink}] again, and they go on, or `vodrelay sinks rename {sink} NEW`, or `vodrelay sinks forget {sink}`"
        );
        findings.push(finding(format!("sink {sink}"), Verdict::Warning, detail));
    }
    findings
}

/// The first dead letters, for the next command to be typed.
fn some(letters: &[DeadLetter]) -> String {
    let shown = |letter: &DeadLetter| {
        let sink = letter.sink.as_ref().map_or("of no sink", |sink| sink.as_str());
        format!("\n           {} {sink}: {}", letter.event, letter.reason)
    };
    letters.iter().map(shown).collect()
}
