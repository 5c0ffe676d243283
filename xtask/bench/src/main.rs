//! `cargo xtask bench`: every number that the relay is to reach, as a ratio of two sides measured in one run.
//!
//! The relay is the release binary in a process of its own, as are the baselines and the servers around it; the load
//! generator is this process. All share the same cores.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to the person who called it")]

mod archive;
mod baseline;
mod callback;
mod cdn;
mod clock;
mod consumer;
mod copy;
mod emulator;
mod load;
mod machine;
mod million;
mod process;
mod receiver;
mod relay;
mod report;
mod rows;
mod store;
mod sync;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::archive::Archived;
use crate::rows::{Drained, ROWS, Row};

/// What the rows measure with.
#[derive(Debug)]
struct Bench {
    /// The release binary.
    vodrelay: PathBuf,
    /// Where journals are made; on a disk, and removed at the end.
    folder: PathBuf,
    /// The journal in which a million events wait, once a row has asked for it.
    million: Option<PathBuf>,
    /// What came of archiving images, once a row has asked for it.
    archived: Option<Archived>,
    /// What draining queues came to, once a row has asked for it.
    drained: Option<Drained>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["baseline"] => baseline::run(),
        ["receiver"] => receiver::run(),
        ["cdn"] => cdn::run(),
        ["store", folder] => store::run(folder),
        ["copy", cdn, store, first, after] => copy::run(cdn, store, first, after),
        ["emulator"] => emulator::run(),
        ["consumer", ..] => consumer::run(words.get(1..).unwrap_or_default()),
        _ => bench(&words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows that were asked for; a signal ends every process and removes every file.
fn bench(words: &[String]) -> Result<(), String> {
    let (rows, write) = asked(words)?;
    let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let vodrelay = this.with_file_name("vodrelay");
    let folder = this.with_file_name("bench");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    machine::check_disk(&folder)?;
    let temporary = tempfile::tempdir_in(&folder).map_err(|error| error.to_string())?;
    let folder = temporary.path().to_owned();
    let bench = Bench { vodrelay, folder, million: None, archived: None, drained: None };

    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = done.send(measure(bench, &rows, write));
    });
    let result = wait(result);
    process::end_all();
    temporary.close().map_err(|error| format!("cannot remove what was made: {error}"))?;
    result
}

/// The rows by name, all where none is named, and whether the document is to be written.
fn asked(words: &[String]) -> Result<(Vec<&'static Row>, bool), String> {
    let (options, names): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| word.starts_with('-'));
    let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    let usage =
        || format!("usage: cargo xtask bench [--write] [ROW…], where a ROW is one of {}", known.join(", "));
    if options.iter().any(|option| *option != "--write")
        || names.iter().any(|name| !known.contains(&name.as_str()))
    {
        return Err(usage());
    }
    let write = !options.is_empty();
    if write && !names.is_empty() {
        return Err("--write writes the whole table, so it takes no rows".to_owned());
    }
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| *name == row.name);
    Ok((ROWS.iter().filter(wanted).collect(), write))
}

#[tokio::main(flavor = "current_thread")]
async fn wait(result: oneshot::Receiver<Result<(), String>>) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        result = result => result.unwrap_or_else(|_| Err("the measuring thread panicked".to_owned())),
        _ = interrupt.recv() => Err("stopped by SIGINT".to_owned()),
        _ = terminate.recv() => Err("stopped by SIGTERM".to_owned()),
    }
}

fn measure(mut bench: Bench, rows: &[&Row], write: bool) -> Result<(), String> {
    let machine = machine::describe(&bench.folder);
    println!("{machine}");
    let synced = sync::confirm(&bench)?;
    println!("{synced}\n");
    let mut lines = vec![report::HEAD.to_owned()];
    let mut missed = Vec::new();
    for row in rows {
        let measured = (row.measure)(&mut bench).map_err(|error| format!("{}: {error}", row.name))?;
        let line = report::line(row, &measured);
        println!("{:<13} {line}", row.name);
        lines.push(line);
        if report::verdict(row, measured.figure) == report::Verdict::Missed {
            missed.push(row.name);
        }
    }
    if write {
        report::write(&root().join("docs/PERFORMANCE.md"), &machine, &synced, &lines)?;
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("below the floor: {}", missed.join(", "))) }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
