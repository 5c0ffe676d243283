//! `vodrelay demo`: the whole product on this machine. A stand-in for VOD sends signed callbacks and writes to a queue, a
//! service receives the events, an archive keeps them and the images that a stand-in for the CDN serves, the relay
//! stands between, and each step is told.

mod cdn;
mod cloud;
mod images;
mod outcome;
mod play;
mod queue;
mod service;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use clap::Args as ClapArgs;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use vodrelay_core::{Ledger, Totals};

use self::cdn::Cdn;
use self::cloud::Cloud;
use self::outcome::Outcome;
use self::play::play;
use self::queue::Queue;
use self::service::Service;
use crate::command::serve::{failure_of_start, metrics};
use crate::config::Loaded;
use crate::exit::{Code, Failure, io_failure};
use crate::relay::Relay;
use crate::sockets::Sockets;
use crate::{logging, output};

/// Arguments of `demo`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  vodrelay demo\n  vodrelay demo --once          check everything and exit\n  vodrelay demo --once --json   the same, with the result as JSON"
)]
pub(crate) struct Args {
    /// Exit when everything has been shown and checked
    #[arg(long)]
    once: bool,
    /// Print what came of it as JSON at the end; what is told on the way goes to standard error
    #[arg(long, requires = "once")]
    json: bool,
}

/// The URL that the demo pretends to have configured at VOD.
const PUBLIC_URL: &str = "https://relay.example.com/vod/callback";
/// The URL that the receiving service checks the signature against, as handlers have it hard-coded.
const SERVICE_URL: &str = "https://api.example.com/vod/callback";
/// Keys by VOD's rules; the demo's traffic never leaves this machine.
const CLOUD_KEY: &str = "DemoCallbackKey2026";
const SERVICE_KEY: &str = "DemoServiceKey2026";
/// Who may read the demo's queue.
const QUEUE_ID: &str = "DemoQueueId";
const QUEUE_SECRET: &str = "DemoQueueSecret";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let _log = logging::start("error")?;
    let voice = Voice { json: args.json };
    let folder = tempfile::tempdir().map_err(|error| io_failure("no temporary folder", &error))?;
    let service = Service::start()
        .await
        .map_err(|error| io_failure("the receiving service could not listen", &error))?;
    let queue = Queue::start().await?;
    let cdn = Cdn::start().await.map_err(|error| io_failure("the CDN could not listen", &error))?;
    let loaded = load(folder.path(), &service, &queue, &cdn)?;
    let relay = Relay::start(&loaded, Vec::new(), metrics()?, Sockets::default())
        .await
        .map_err(|error| failure_of_start(&error))?;
    let (Some(http), Some(admin)) = relay.addresses() else {
        return Err(Failure::new(Code::Internal, "the relay has no address"));
    };
    let (ledger, shutdown) = (relay.ledger(), CancellationToken::new());
    let running = tokio::spawn(relay.run(shutdown.clone()));

    voice.say("Five things run on this machine now:");
    voice.say(format!(
        "  the relay             http://{http}/vod/callback, its journal in {}",
        folder.path().display()
    ));
    voice.say(format!("  a queue               {}, a stand-in for MNS", queue.endpoint()));
    voice.say(format!(
        "  a service             http://{}/vod/callback, which wants the events, as yours does",
        service.address()
    ));
    voice.say(format!("  an archive            {}", folder.path().join("archive").display()));
    voice.say(format!(
        "  a CDN with images     http://{}, which denies URLs that are not signed\n",
        cdn.address()
    ));

    let cloud = Cloud::new(format!("http://{http}/vod/callback"))?;
    let sent = play(&cloud, &queue, &cdn, voice).await?;
    let totals = wait_until_delivered(&service, &queue, ledger.as_ref(), sent.len()).await?;
    let outcome = Outcome::gather(totals, &service, &cdn, &loaded).await?;
    outcome.tell(voice);
    let verdict = outcome.verify(&sent, &cdn);
    if verdict.is_ok() {
        voice.say("\nEvery event and every image arrived whole and unaltered.");
    }
    if args.json {
        output::json(&outcome.json(verdict.is_ok()));
    }

    if verdict.is_ok() && !args.once {
        voice.say(format!(
            "\nThe relay goes on until you press Ctrl-C. Look at its page, http://{admin}/, hash the archive again, or send an event of your own:"
        ));
        let config = folder.path().join("vodrelay.toml");
        voice.say(format!("  vodrelay archive verify --config {}", config.display()));
        voice.say(format!(
            "  vodrelay trigger --to http://{http}/vod/callback --sign-url {PUBLIC_URL} --key {CLOUD_KEY}"
        ));
        let _ = tokio::signal::ctrl_c().await;
    }
    shutdown.cancel();
    let _ = running.await;
    verdict
}

/// The demo's configuration is a file like yours, so that it shows nothing that a user could not have.
fn load(folder: &Path, service: &Service, queue: &Queue, cdn: &Cdn) -> Result<Loaded, Failure> {
    let text = include_str!("demo/vodrelay.toml")
        .replace("{SERVICE}", &service.address().to_string())
        .replace("{QUEUE}", &queue.endpoint())
        .replace("{CDN}", &cdn.address().to_string());
    let file = folder.join("vodrelay.toml");
    std::fs::write(&file, &text)
        .map_err(|error| io_failure("the demo's configuration could not be written", &error))?;
    crate::config::from_text(&text, Some(file), HashMap::new())
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

async fn wait_until_delivered(
    service: &Service,
    queue: &Queue,
    ledger: &dyn Ledger,
    events: usize,
) -> Result<Totals, Failure> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Before the totals, so that what was deleted is counted in them.
        let drained = queue.is_empty();
        let failed = |error: vodrelay_core::JournalError| Failure::new(Code::Internal, error.to_string());
        let backlogs = ledger.backlogs().await.map_err(failed)?;
        let totals = ledger.totals().await.map_err(failed)?;
        let settled = backlogs.len() == 2 && backlogs.iter().all(|backlog| backlog.pending == 0);
        if drained && settled && service.received().len() >= events && totals.refusals > 0 {
            return Ok(totals);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                Code::Internal,
                format!("not everything was delivered in time: {backlogs:?}, {totals:?}"),
            ));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Where the demo tells its steps: standard output, which JSON would need for itself.
#[derive(Clone, Copy, Debug)]
struct Voice {
    json: bool,
}

impl Voice {
    fn say(self, text: impl AsRef<str>) {
        if self.json { output::note(text) } else { output::line(text) }
    }
}
