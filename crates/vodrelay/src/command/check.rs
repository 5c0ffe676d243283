//! `vodrelay check`: everything that can be found out before an event is at stake, each finding with its mend.

mod against;
mod alerts;
mod clock;
mod keys;
mod machine;
mod place;
mod running;
mod sinks;
mod through;
mod traces;
mod ways_in;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::Serialize;
use vodrelay_core::{Clock, Name, SinkFactory, SystemClock};

use super::when;
use crate::cli::ConfigFile;
use crate::config::Loaded;
use crate::exit::{Code, Failure};
use crate::output;

/// How long a sink or a queue may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  vodrelay check\n  vodrelay check --offline --json\n  \
    vodrelay check --through           an empty signed probe to each public_url, as VOD would send it\n  \
    vodrelay check --through main\n  \
    vodrelay check --against 7d --config new.toml\n\n\
    A probe is answered by the running relay, and kept nowhere; it tells of DNS, certificate, proxy, path and signature.\n\
    --against routes what came lately by this configuration, which need not be that of the running relay, and exits with\n\
    65 where something would no longer reach a sink.\n\
    Exits with 70 when a sink panics, with 78 when the configuration is wrong, with 69 when something does not \
    answer, with 0 otherwise.")]
pub(crate) struct Args {
    /// Look at this machine only; ask no sink and no queue
    #[arg(long)]
    offline: bool,
    /// Send an empty signed probe to the public_url of this callback, or of each, and tell how it came
    #[arg(long, value_name = "CALLBACK", num_args = 0..=1, conflicts_with = "offline")]
    through: Option<Option<Name>>,
    /// Route what was received since then, and tell what would no longer reach whom: a moment, or how long ago, like 7d
    #[arg(long, value_name = "WHEN", value_parser = when::parse, conflicts_with_all = ["offline", "through"])]
    against: Option<Timestamp>,
    /// With --against: the folder of the journal [default: data_dir of the configuration]
    #[arg(long, value_name = "FOLDER", requires = "against")]
    journal: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    verdict: Verdict,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Wrong,
    Unreachable,
    Panicked,
}

pub(crate) async fn run(args: Args, own_factories: Vec<Arc<dyn SinkFactory>>) -> Result<(), Failure> {
    if let Some(since) = args.against {
        return against::run(&args.config.load()?, args.journal.as_deref(), since, args.json);
    }
    let findings = match args.config.load() {
        Ok(loaded) => match &args.through {
            Some(only) => through::findings(&loaded, only.as_ref()).await,
            None => findings(&loaded, own_factories, args.offline).await,
        },
        Err(failure) => {
            let what = failure.message.trim_start_matches("the configuration is wrong").trim();
            vec![finding("configuration", Verdict::Wrong, what)]
        }
    };
    if args.json {
        output::json(&serde_json::json!({"findings": findings}));
    } else {
        findings.iter().for_each(print);
    }
    conclusion(&findings)
}

/// The exit that the worst of the findings makes.
fn conclusion(findings: &[Finding]) -> Result<(), Failure> {
    let found = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match (found(Verdict::Panicked), found(Verdict::Wrong), found(Verdict::Unreachable)) {
        (0, 0, 0) => Ok(()),
        (0, 0, unreachable) => {
            let message = format!("sinks, queues and callbacks that did not answer: {unreachable}");
            Err(Failure::new(Code::Unreachable, message))
        }
        (0, wrong, _) => Err(Failure::new(Code::Configuration, format!("findings that are wrong: {wrong}"))),
        (panicked, ..) => Err(Failure::new(Code::Internal, format!("sinks that panicked: {panicked}"))),
    }
}

async fn findings(loaded: &Loaded, own_factories: Vec<Arc<dyn SinkFactory>>, offline: bool) -> Vec<Finding> {
    let file = loaded
        .file
        .as_ref()
        .map_or_else(|| "the environment alone".to_owned(), |file| file.display().to_string());
    let mut findings = vec![finding("configuration", Verdict::Ok, file)];
    findings.push(machine::data_dir(loaded));
    findings.extend(place::findings(loaded));
    findings.extend(machine::journal(loaded));
    findings.extend(ways_in::callbacks(loaded));
    if !offline {
        findings.extend(running::findings(loaded).await);
        findings.extend(clock::findings(loaded).await);
    }
    findings.extend(ways_in::admin(loaded));
    findings.extend(ways_in::certificates(loaded, SystemClock.now()));
    findings.extend(ways_in::queues(loaded, offline).await);
    findings.extend(ways_in::transports(loaded));
    findings.extend(alerts::alerts(loaded));
    findings.extend(traces::traces(loaded));
    findings.extend(sinks::findings(loaded, own_factories, offline).await);
    findings
}

fn finding(what: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), verdict, detail: detail.into() }
}

fn print(finding: &Finding) {
    let word = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Wrong => "WRONG",
        Verdict::Unreachable => "NO ANSWER",
        Verdict::Panicked => "PANICKED",
    };
    output::line(format!("{word:<10} {}: {}", finding.what, finding.detail));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_makes_the_exit() {
        let check = |verdicts: &[Verdict], expect: Option<Code>| {
            let findings: Vec<Finding> =
                verdicts.iter().map(|verdict| finding("sink a", *verdict, "")).collect();
            assert_eq!(conclusion(&findings).err().map(|failure| failure.code), expect, "{verdicts:?}");
        };
        check(&[Verdict::Ok, Verdict::Warning], None);
        check(&[Verdict::Unreachable, Verdict::Ok], Some(Code::Unreachable));
        check(&[Verdict::Unreachable, Verdict::Wrong], Some(Code::Configuration));
        check(&[Verdict::Wrong, Verdict::Panicked, Verdict::Unreachable], Some(Code::Internal));
    }
}
