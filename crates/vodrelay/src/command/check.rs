//! `vodrelay check`: everything that can be found out before an event is at stake, each finding with its mend.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use mns_client::QueueAttributes;
use serde::Serialize;
use vodrelay_core::config::ByteSize;
use vodrelay_core::ledger::{DeadLetter, LetterFilter};
use vodrelay_core::{Clock, JournalError, Pause, Sink, SinkBacklog, SinkFactory, SystemClock};
use vodrelay_journal::Reader;
use vodrelay_mns::QueueSettings;
use vodrelay_sinks::archive::{Survey, survey};

use crate::cli::ConfigFile;
use crate::config::Loaded;
use crate::exit::{Code, Failure};
use crate::output;
use crate::relay::{build_sinks, factories, orphans};

/// How long a sink may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many dead letters are shown.
const SHOWN: usize = 3;

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  vodrelay check\n  vodrelay check --offline --json\n\n\
    Exits with 70 when a sink panics, with 78 when the configuration is wrong, with 69 when something does not \
    answer, with 0 otherwise.")]
pub(crate) struct Args {
    /// Look at this machine only; ask no sink and no queue
    #[arg(long)]
    offline: bool,
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
    let findings = match args.config.load() {
        Ok(loaded) => findings(&loaded, own_factories, args.offline).await,
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
            let message = format!("sinks and queues that did not answer: {unreachable}");
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
    findings.push(data_dir(loaded));
    findings.extend(journal(loaded));
    findings.extend(callbacks(loaded));
    findings.extend(admin(loaded));
    findings.extend(queues(loaded, offline).await);
    findings.extend(transports(loaded));
    let sinks = match build_sinks(&loaded.config, &loaded.surroundings, &factories(own_factories)) {
        Ok(sinks) => sinks,
        Err(error) => {
            findings.push(finding("sinks", Verdict::Wrong, error.to_string()));
            return findings;
        }
    };
    if sinks.is_empty() {
        let detail = "there is none, so every event is kept as unrouted; add [sinks.NAME]";
        findings.push(finding("sinks", Verdict::Warning, detail));
    }
    findings.extend(archives(loaded));
    for (name, sink) in &sinks {
        let what = format!("sink {name}");
        if offline {
            findings.push(finding(what, Verdict::Ok, "built; not asked (--offline)"));
        } else {
            findings.extend(ask(&what, Arc::clone(sink)).await);
        }
        if loaded.config.sinks.get(name).is_some_and(|sink| {
            sink.status.as_ref().is_some_and(|status| !status.0.contains(&"fail".to_owned()))
        }) {
            let detail = "status leaves out \"fail\": nobody hears of jobs that failed, unless another sink takes them";
            findings.push(finding(format!("sink {name}"), Verdict::Warning, detail));
        }
    }
    findings
}

async fn ask(what: &str, sink: Arc<dyn Sink>) -> Vec<Finding> {
    // A task of its own, so that a sink that panics takes nothing but its answer along.
    let mut asked = tokio::spawn(async move { sink.check().await });
    match tokio::time::timeout(PATIENCE, &mut asked).await {
        Ok(Ok(Ok(remarks))) => {
            let remarks = remarks.into_iter().map(|remark| finding(what, Verdict::Warning, remark));
            std::iter::once(finding(what, Verdict::Ok, "answers")).chain(remarks).collect()
        }
        Ok(Ok(Err(error))) => vec![finding(what, Verdict::Unreachable, error.to_string())],
        Ok(Err(_)) => {
            let detail = "panicked when it was asked; this is a bug in it, and the panic above says where";
            vec![finding(what, Verdict::Panicked, detail)]
        }
        Err(_) => {
            asked.abort();
            vec![finding(what, Verdict::Unreachable, format!("no answer within {PATIENCE:?}"))]
        }
    }
}

/// What the options of the archives say by themselves.
fn archives(loaded: &Loaded) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut findings = Vec::new();
    let mut places = BTreeMap::new();
    for (name, sink) in loaded.config.sinks.iter().filter(|(_, sink)| sink.kind == "archive") {
        // What cannot be read so is of a kind of somebody's own, and was built a moment ago.
        let surveyed = survey(&sink.options(&loaded.surroundings), sink.settings().timeout.0, &clock);
        let Ok(Survey { place, images, doubts }) = surveyed else { continue };
        let what = format!("sink {name}");
        findings.push(finding(what.clone(), Verdict::Ok, images));
        findings.extend(doubts.into_iter().map(|doubt| finding(what.clone(), Verdict::Warning, doubt)));
        if let Some(other) = places.get(&place) {
            let detail = format!(
                "writes to the same place as sink {other}, {place}; give each a prefix, or take one out"
            );
            findings.push(finding(what, Verdict::Warning, detail));
        } else {
            places.insert(place, name);
        }
    }
    findings
}

fn data_dir(loaded: &Loaded) -> Finding {
    let folder = &loaded.data_dir;
    let shown = folder.display();
    let probe = || -> std::io::Result<()> {
        // As the relay makes it: for its user alone.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        tempfile::tempfile_in(folder).map(drop)
    };
    match probe() {
        Ok(()) => room(folder, loaded.config.journal.min_free),
        Err(error) => finding(
            "data_dir",
            Verdict::Wrong,
            format!("{shown} cannot be written: {error}; make it the relay's own"),
        ),
    }
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
fn journal(loaded: &Loaded) -> Vec<Finding> {
    if !loaded.data_dir.join(vodrelay_journal::FILE).exists() {
        return vec![finding("journal", Verdict::Ok, "not there yet; `vodrelay serve` makes it")];
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
            "orphaned deliveries: {pending}; configure [sinks.{sink}] again, and they go on, or `vodrelay sinks rename {sink} NEW`, or forget it"
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

fn admin(loaded: &Loaded) -> Option<Finding> {
    let config = &loaded.config;
    if let Err(error) = config.admin.resolve(&loaded.surroundings) {
        return Some(finding("admin", Verdict::Wrong, error.to_string()));
    }
    let same = config.admin.listen == config.http.listen && config.http.listen.port() != 0;
    same.then(|| {
        let detail =
            format!("admin.listen and http.listen are both {}; give each a port", config.http.listen);
        finding("admin", Verdict::Wrong, detail)
    })
}

fn callbacks(loaded: &Loaded) -> Vec<Finding> {
    let settings = match loaded.config.http.resolve(&loaded.surroundings) {
        Ok(settings) => settings,
        Err(error) => return vec![finding("callbacks", Verdict::Wrong, error.to_string())],
    };
    let mut findings: Vec<Finding> = Vec::new();
    for callback in &settings.callbacks {
        let keys: Vec<&str> = callback.endpoint.keys.iter().map(|key| key.name.as_str()).collect();
        let keys = if keys.is_empty() { "no key".to_owned() } else { format!("key {}", keys.join(" or ")) };
        let detail = format!("VOD's console has to have the URL {} and {keys}", callback.endpoint.url);
        let what = format!("callback {}", callback.name);
        if callback.endpoint.url.contains("//relay.example.com/") {
            let detail = "public_url is still the example; write the URL under which VOD reaches this relay";
            findings.push(finding(what.clone(), Verdict::Warning, detail));
        }
        findings.push(finding(what, Verdict::Ok, detail));
    }
    findings
        .extend(settings.warnings.into_iter().map(|warning| finding("callbacks", Verdict::Warning, warning)));
    findings
}

async fn queues(loaded: &Loaded, offline: bool) -> Vec<Finding> {
    let settings = match loaded.config.mns.resolve(&loaded.surroundings) {
        Ok(settings) => settings,
        Err(error) => return vec![finding("queues", Verdict::Wrong, error.to_string())],
    };
    let mut findings: Vec<Finding> =
        settings.warnings.into_iter().map(|warning| finding("queues", Verdict::Warning, warning)).collect();
    for queue in &settings.queues {
        if offline {
            let detail = "configured; not asked (--offline)";
            findings.push(finding(format!("queue {}", queue.name), Verdict::Ok, detail));
        } else {
            findings.extend(ask_queue(queue).await);
        }
    }
    findings
}

async fn ask_queue(settings: &QueueSettings) -> Vec<Finding> {
    let what = format!("queue {}", settings.name);
    let attributes = match tokio::time::timeout(PATIENCE, settings.queue.attributes()).await {
        Ok(Ok(attributes)) => attributes,
        Ok(Err(error)) => {
            let detail = format!("{error}; {}", vodrelay_mns::mend(&error));
            return vec![finding(what, Verdict::Unreachable, detail)];
        }
        Err(_) => {
            return vec![finding(what, Verdict::Unreachable, format!("no answer within {PATIENCE:?}"))];
        }
    };
    let detail = format!("{} answers{}", settings.queue.name(), waiting(&attributes));
    let at_vod = format!(
        "VOD's console has to have the queue {} and the public endpoint of its account and region",
        settings.queue.name()
    );
    let mut findings =
        vec![finding(what.clone(), Verdict::Ok, detail), finding(what.clone(), Verdict::Ok, at_vod)];
    findings.push(rights(settings, &what).await);
    let doubts = vodrelay_mns::doubts(&attributes);
    findings.extend(doubts.into_iter().map(|doubt| finding(what.clone(), Verdict::Warning, doubt)));
    findings
}

/// What is in the queue: a message that is delayed, or in somebody's hand, is there as well.
fn waiting(attributes: &QueueAttributes) -> String {
    let counts = [
        (attributes.active_messages, "wait"),
        (attributes.inactive_messages, "are received and not deleted"),
        (attributes.delay_messages, "are delayed"),
    ];
    let counts: Vec<String> =
        counts.iter().filter_map(|(count, what)| Some(format!("{} {what}", (*count)?))).collect();
    if counts.is_empty() { String::new() } else { format!("; of its messages {}", counts.join(", ")) }
}

/// Whether the keys may do what the relay does, as far as that can be asked without taking a message.
async fn rights(settings: &QueueSettings, what: &str) -> Finding {
    match tokio::time::timeout(PATIENCE, vodrelay_mns::ask_for_rights(&settings.queue)).await {
        Ok(Ok(())) => {
            let detail = format!(
                "the keys may delete messages and change their visibility; whether they may receive was not tried, \
                 since that takes a message: `vodrelay trigger --queue {}` beside a running relay shows it",
                settings.name
            );
            finding(what, Verdict::Ok, detail)
        }
        Ok(Err(error)) => {
            let detail = format!("{error}; {}", vodrelay_mns::mend(&error));
            finding(what, Verdict::Unreachable, detail)
        }
        Err(_) => finding(what, Verdict::Unreachable, format!("no answer within {PATIENCE:?}")),
    }
}

/// What the way that events come in by costs when it breaks.
fn transports(loaded: &Loaded) -> Option<Finding> {
    let (callbacks, queues) = (&loaded.config.http.callbacks, &loaded.config.mns.queues);
    let detail = match (callbacks.is_empty(), queues.is_empty()) {
        (true, true) => {
            let detail = "no event can come in; add [mns.queues.NAME] or [http.callbacks.NAME]";
            return Some(finding("transports", Verdict::Warning, detail));
        }
        (false, true) => {
            "HTTP only: while the relay cannot be reached, VOD gives each event up after three tries within seconds; a \
             queue bears days (docs/TRANSPORTS.md)"
        }
        (true, false) => "queues only: what VOD writes waits there while the relay is down",
        (false, false) => {
            "both are served; VOD is set to one of them for each region and application (docs/TRANSPORTS.md)"
        }
    };
    Some(finding("transports", Verdict::Ok, detail))
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
    use mns_emulator::{Attributes, Emulator, Fault, Operation, Settings as EmulatorSettings};
    use vodrelay_core::config::Surroundings;
    use vodrelay_core::testing::MockSink;

    use super::*;

    #[test]
    fn messages_in_every_state_are_told() {
        let mut attributes = QueueAttributes::default();
        assert_eq!(waiting(&attributes), "");
        attributes.active_messages = Some(0);
        assert_eq!(waiting(&attributes), "; of its messages 0 wait");
        (attributes.inactive_messages, attributes.delay_messages) = (Some(2), Some(1));
        assert_eq!(
            waiting(&attributes),
            "; of its messages 0 wait, 2 are received and not deleted, 1 are delayed"
        );
    }

    #[tokio::test]
    async fn the_rights_that_a_relay_needs_are_asked_for() {
        let emulator = Emulator::start(EmulatorSettings::default()).await.unwrap();
        emulator.create_queue("vod-events", Attributes::default()).unwrap();
        emulator.send("vod-events", "{}").unwrap();
        let table = format!(
            "[queues.main]\nendpoint = \"{}\"\nqueue = \"vod-events\"\n\
             credentials = {{ kind = \"static\", access_key_id = \"AK\", access_key_secret = \"SK\" }}",
            emulator.endpoint()
        );
        let config: vodrelay_mns::Config = toml::from_str(&table).unwrap();
        let queue = config.resolve(&Surroundings::default()).unwrap().queues.remove(0);
        let found = ask_queue(&queue).await;
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:?}");
        let untouched = emulator.messages("vod-events").remove(0);
        assert_eq!(untouched.dequeue_count, 0);

        emulator.inject(Fault::Throttle.always().on(Operation::ChangeMessageVisibility));
        let found = ask_queue(&queue).await;
        let wrong = found.iter().find(|finding| finding.verdict == Verdict::Unreachable).unwrap();
        assert!(wrong.detail.contains("cannot change the visibility"), "{wrong:?}");
    }

    #[tokio::test]
    async fn remarks_are_warnings_beside_a_good_answer() {
        let mut sink = MockSink::new();
        sink.expect_check().return_once(|| Ok(vec!["s3://b is odd".to_owned()]));
        let findings = ask("sink archive", Arc::new(sink)).await;
        let said: Vec<(Verdict, &str)> =
            findings.iter().map(|finding| (finding.verdict, finding.detail.as_str())).collect();
        assert_eq!(said, [(Verdict::Ok, "answers"), (Verdict::Warning, "s3://b is odd")]);
    }

    #[tokio::test]
    async fn a_sink_that_panics_is_a_finding() {
        let mut sink = MockSink::new();
        sink.expect_check().return_once(|| panic!("a bug of the sink"));
        let findings = ask("sink archive", Arc::new(sink)).await;
        let said: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(said, [Verdict::Panicked]);
    }

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
