//! `vodrelay journal`: whether the journal is whole, a copy of it while the relay works, and what reads of a damaged one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use vodrelay_journal::{
    CopyError, FILE, Finding, FindingKind, LOG, Listener, Loss, LossKind, OpenError, Progress,
};

use crate::cli::ConfigFile;
use crate::command::serve::code_of_journal;
use crate::exit::{Code, Failure};
use crate::output;
use crate::output::progress::Progress as Bar;

/// Subcommands of `journal`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    vodrelay journal verify\n  \
    vodrelay journal backup --to /backup/2026-11-24\n  \
    vodrelay journal salvage --to /srv/vodrelay-new")]
pub(crate) enum Args {
    /// Look at every page, body, delivery and counter, beside a running relay or without one
    #[command(after_help = "Examples:\n  \
        vodrelay journal verify\n  \
        vodrelay journal verify --journal /backup/2026-11-24\n  \
        vodrelay journal verify --json | jq 'select(.finding)'\n\n\
        With --json each finding is a line, and the last line has the totals. Reads only, a few hundred events at a time.\n\
        Exits with 0 when the journal is whole, with 65 when something in it does not match, with 74 when its file is\n\
        damaged.")]
    Verify(Selection),
    /// Copy the journal while the relay works
    #[command(after_help = "Examples:\n  \
        vodrelay journal backup --to /backup/2026-11-24\n  \
        vodrelay journal backup --to /backup/$(date +%F).sqlite3\n\n\
        Everything acknowledged before it begins is in it. To restore, make it the journal.sqlite3 of an empty data_dir;\n\
        what was delivered since is delivered again.\n\
        Exits with 0 when the copy is in its place, with 73 when it cannot be written, with 74 when the journal does not\n\
        read.")]
    Backup {
        /// A folder, or a file that ends in .sqlite3; nothing is written over
        #[arg(long, value_name = "FILE or FOLDER")]
        to: PathBuf,
        #[command(flatten)]
        selection: Selection,
    },
    /// Copy what reads of a damaged journal into a new one, and list what does not
    #[command(after_help = "Examples:\n  \
        vodrelay journal salvage --to /srv/vodrelay-new\n  \
        vodrelay journal salvage --to /srv/vodrelay-new --json > losses.jsonl\n\n\
        The relay must be stopped. The damaged journal is not touched; FOLDER needs as much room again while it works.\n\
        Exits with 0 when all of it was read, with 65 when something is lost or was mended, with 73 when the new one\n\
        cannot be written, with 75 when a relay runs.")]
    Salvage {
        /// The folder of the new journal
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
        #[command(flatten)]
        selection: Selection,
    },
}

/// Where there is none.
const ADVICE: &str = "; name its folder with --journal, or the configuration with --config";

/// Which journal is meant.
#[derive(Debug, ClapArgs)]
pub(crate) struct Selection {
    /// The folder of the journal [default: data_dir of the configuration]
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
    /// Print JSON, a line for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs where it may wait for the disk for long.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let work = move || match args {
        Args::Verify(selection) => verify(&selection),
        Args::Backup { to, selection } => backup(&selection, &to),
        Args::Salvage { to, selection } => salvage(&selection, &to),
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::new(Code::Internal, format!("{error}; please report it"))))
}

impl Selection {
    /// The folder of the journal, which is there.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = self.named()?;
        there_is_one(&folder, ADVICE)?;
        Ok(folder)
    }

    /// The folder of a journal of which there may be no more than its log.
    fn damaged(&self) -> Result<PathBuf, Failure> {
        let folder = self.named()?;
        if !folder.join(LOG).exists() {
            there_is_one(&folder, ADVICE)?;
        }
        Ok(folder)
    }

    fn named(&self) -> Result<PathBuf, Failure> {
        match &self.journal {
            Some(folder) => Ok(folder.clone()),
            None => Ok(self.config.load()?.data_dir),
        }
    }
}

/// Fails where there is no journal in the folder, with what to do then, and where nobody but the relay may look.
pub(crate) fn there_is_one(folder: &Path, advice: &str) -> Result<(), Failure> {
    let shown = folder.display();
    match folder.join(FILE).try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new(Code::Unreadable, format!("there is no journal in {shown}{advice}"))),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let advice = "run it as the relay's user: `sudo -u vodrelay vodrelay …`";
            Err(Failure::new(Code::Permission, format!("cannot look into {shown}: {error}; {advice}")))
        }
        Err(error) => Err(Failure::new(Code::Unreadable, format!("cannot look into {shown}: {error}"))),
    }
}

fn verify(selection: &Selection) -> Result<(), Failure> {
    let mut printer = Printer { json: selection.json, is_damaged: false, ticker: Ticker::default() };
    let verified =
        vodrelay_journal::verify(&selection.damaged()?, &mut printer).map_err(|error| of_journal(&error))?;
    printer.ticker.end();
    let (events, deliveries, findings) = (verified.events, verified.deliveries, verified.findings);
    if selection.json {
        let left_out = &verified.left_out;
        let totals =
            json!({"events": events, "deliveries": deliveries, "findings": findings, "left_out": left_out});
        output::json_line(&totals);
    } else {
        for what in &verified.left_out {
            output::line(format!("NOT LOOKED AT {what}"));
        }
        output::line(format!("{events} events, {deliveries} deliveries; findings: {findings}"));
    }
    match (findings, printer.is_damaged) {
        (0, _) => Ok(()),
        (_, false) => Err(Failure::new(Code::Unreadable, String::new())),
        (_, true) => Err(Failure::new(Code::Poisoned, String::new())),
    }
}

fn backup(selection: &Selection, to: &Path) -> Result<(), Failure> {
    let mut ticker = Ticker::default();
    let made = vodrelay_journal::backup(&selection.damaged()?, to, &mut |progress| ticker.tick(progress));
    ticker.end();
    let made = made.map_err(|error| of_copy(&error))?;
    let (file, events, refusals, corrupt) = (&made.file, made.events, made.refusals, made.corrupt);
    if selection.json {
        let line = json!({"file": file, "events": events, "refusals": refusals, "corrupt": corrupt});
        output::json_line(&line);
    } else {
        output::line(format!("{}: {events} events, {refusals} refusals", file.display()));
    }
    if corrupt > 0 {
        output::note(format!(
            "vodrelay: {corrupt} events have a body that is not the one that was accepted; `vodrelay journal verify` names them"
        ));
    }
    Ok(())
}

fn salvage(selection: &Selection, to: &Path) -> Result<(), Failure> {
    let json = selection.json;
    let mut told = |Loss { kind, what }: Loss| {
        let word = match kind {
            LossKind::Lost => "LOST",
            LossKind::KeptOut => "KEPT OUT",
            _ => "MENDED",
        };
        if json {
            output::json_line(&json!({"loss": kind.name(), "what": what}));
        } else {
            output::line(format!("{word} {what}"));
        }
    };
    let salvaged =
        vodrelay_journal::salvage(&selection.damaged()?, to, &mut told).map_err(|error| of_copy(&error))?;
    let (file, events, deliveries) = (&salvaged.file, salvaged.events, salvaged.deliveries);
    let (refusals, lost, losses) = (salvaged.refusals, salvaged.events_lost, salvaged.losses);
    if json {
        let totals = json!({
            "file": file, "events": events, "deliveries": deliveries, "refusals": refusals,
            "events_lost": lost, "losses": losses,
        });
        output::json_line(&totals);
    } else {
        let file = file.display();
        output::line(format!(
            "{file}: {events} events, {deliveries} deliveries, {refusals} refusals; events lost: {lost}, lines above: {losses}"
        ));
    }
    if losses == 0 { Ok(()) } else { Err(Failure::new(Code::Unreadable, String::new())) }
}

fn of_journal(error: &OpenError) -> Failure {
    Failure::new(code_of_journal(error), error.to_string())
}

fn of_copy(error: &CopyError) -> Failure {
    match error {
        CopyError::Source(error @ OpenError::HeldBy { path, pid, .. }) => {
            let why = format!("a relay has the journal in {} (process {pid})", path.display());
            Failure::new(code_of_journal(error), format!("{why}; stop it first, and what starts it again"))
        }
        CopyError::Source(error) => of_journal(error),
        CopyError::Damaged { .. } => Failure::new(Code::Poisoned, error.to_string()),
        _ => Failure::new(Code::CannotCreate, error.to_string()),
    }
}

/// Prints findings as they come.
struct Printer {
    json: bool,
    is_damaged: bool,
    ticker: Ticker,
}

impl Listener for Printer {
    fn found(&mut self, Finding { kind, what }: Finding) {
        self.ticker.end();
        self.is_damaged |= kind == FindingKind::Structure;
        if self.json {
            output::json_line(&json!({"finding": kind.name(), "what": what, "mend": kind.mend()}));
        } else {
            output::line(format!("DAMAGED {what}\n    {}", kind.mend()));
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.ticker.tick(progress);
    }
}

/// Tells a person who waits how far it is.
#[derive(Default)]
struct Ticker {
    bar: Option<Bar>,
}

impl Ticker {
    fn tick(&mut self, Progress { events, of, .. }: Progress) {
        let bar = self.bar.get_or_insert_with(|| Bar::of(Some(of)));
        bar.show(events, &format!("{events} of {of} events"));
    }

    /// Makes room for a line.
    fn end(&mut self) {
        self.bar.iter_mut().for_each(Bar::end);
    }
}
