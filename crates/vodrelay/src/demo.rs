//! `vodrelay demo`: the whole product on this machine. A stand-in for VOD sends signed callbacks and
//! writes to a queue, a service receives the events, an archive keeps them, the relay stands between, and each step is
//! told.

mod cloud;
mod queue;
mod service;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use vodrelay_core::{Ledger, Totals};

use self::cloud::Cloud;
use self::queue::Queue;
use self::service::Service;
use crate::command::serve::{failure_of_start, metrics};
use crate::exit::{Code, Failure, io_failure};
use crate::relay::Relay;
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
    logging::start("error")?;
    let voice = Voice { json: args.json };
    let folder = tempfile::tempdir().map_err(|error| io_failure("no temporary folder", &error))?;
    let service = Service::start()
        .await
        .map_err(|error| io_failure("the receiving service could not listen", &error))?;
    let queue = Queue::start().await?;
    let relay = start_relay(folder.path(), service.address(), &queue).await?;
    let (Some(http), Some(admin)) = relay.addresses() else {
        return Err(Failure::new(Code::Internal, "the relay has no address"));
    };
    let (ledger, shutdown) = (relay.ledger(), CancellationToken::new());
    let running = tokio::spawn(relay.run(shutdown.clone()));

    voice.say("Four things run on this machine now:");
    voice.say(format!(
        "  the relay             http://{http}/vod/callback, its journal in {}",
        folder.path().display()
    ));
    voice.say(format!("  a queue               {}, a stand-in for MNS", queue.endpoint()));
    voice.say(format!(
        "  a service             http://{}/vod/callback, which wants the events, as yours does",
        service.address()
    ));
    voice.say(format!("  an archive            {}\n", folder.path().join("archive").display()));

    let cloud = Cloud::new(format!("http://{http}/vod/callback"))?;
    let mut expected = play(&cloud, voice).await?;
    expected.push(play_over_queue(&queue, &expected, voice)?);
    let totals = wait_until_delivered(&service, &queue, ledger.as_ref(), expected.len()).await?;
    let archived = archived(&folder.path().join("archive"));
    report(voice, &totals, &service, archived);
    let verdict = verify(&totals, &service, archived, &expected);
    if verdict.is_ok() {
        voice.say("\nEvery event arrived whole and unaltered.");
    }
    if args.json {
        output::json(&json!({
            "whole": verdict.is_ok(), "accepted": totals.events, "merged": totals.duplicates,
            "refused": totals.refusals, "delivered": service.received().len(), "archived": archived,
        }));
    }

    if verdict.is_ok() && !args.once {
        voice.say(format!(
            "\nThe relay goes on until you press Ctrl-C. Look at http://{admin}/metrics, or send an event of your own:"
        ));
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
async fn start_relay(folder: &Path, service: std::net::SocketAddr, queue: &Queue) -> Result<Relay, Failure> {
    let text = include_str!("demo/vodrelay.toml").replace("{SERVICE}", &service.to_string());
    let text = text.replace("{QUEUE}", &queue.endpoint());
    let file = folder.join("vodrelay.toml");
    std::fs::write(&file, &text)
        .map_err(|error| io_failure("the demo's configuration could not be written", &error))?;
    let loaded = crate::config::from_text(&text, Some(file), HashMap::new())
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    Relay::start(&loaded, Vec::new(), metrics()?).await.map_err(|error| failure_of_start(&error))
}

/// Sends each callback, tells what it is and what came back; returns the bodies that must arrive.
async fn play(cloud: &Cloud, voice: Voice) -> Result<Vec<Vec<u8>>, Failure> {
    let (string, object, failed, forged) =
        (cloud::info_as_string(), cloud::info_as_object(), cloud::failed(), cloud::forged());
    let steps: [(&str, &[u8], &str, u16, &str); 5] = [
        (
            "VOD reports an animated image; its details are JSON inside a string, as older pages document it",
            &string,
            CLOUD_KEY,
            200,
            "200 only after the event was synced to disk",
        ),
        (
            "another image; its details are a plain object, as newer pages document it",
            &object,
            CLOUD_KEY,
            200,
            "200, both forms read the same",
        ),
        (
            "a job that failed, so without an image",
            &failed,
            CLOUD_KEY,
            200,
            "200, a failure is an event like any other",
        ),
        (
            "the first one once more, as VOD sends it when it missed our answer",
            &string,
            CLOUD_KEY,
            200,
            "200, and merged: the service will not see it twice",
        ),
        (
            "a forged callback, signed with a key that is not ours",
            &forged,
            "SomebodyElse2026",
            401,
            "401, kept apart for you to look at, delivered to nobody",
        ),
    ];
    for (number, (what, body, key, expected, told)) in steps.into_iter().enumerate() {
        voice.say(format!("{}. {what}", number + 1));
        let status = cloud.send(body, key).await?;
        if status != expected {
            return Err(Failure::new(
                Code::Internal,
                format!("the relay answered {status}, and {expected} was expected"),
            ));
        }
        voice.say(format!("   -> {told}"));
    }
    Ok(vec![string, object, failed])
}

/// Writes to the queue what came over HTTP already, and an event of its own, which is returned.
fn play_over_queue(queue: &Queue, sent: &[Vec<u8>], voice: Voice) -> Result<Vec<u8>, Failure> {
    voice.say("6. the second one once more, over the queue, as it happens when VOD is switched from HTTP to a queue");
    sent.get(1).map_or(Ok(()), |body| queue.write(body))?;
    voice.say("   -> merged: an event is the same whichever way it comes, and the message is deleted");
    voice.say("7. another image, over the queue alone");
    let body = cloud::info_as_string();
    queue.write(&body)?;
    voice.say("   -> the message is deleted only after the event was synced to disk");
    Ok(body)
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

fn report(voice: Voice, totals: &Totals, service: &Service, archived: usize) {
    voice.say("\nWhat came of it:");
    voice.say(format!(
        "  accepted   {} events, each on disk before VOD was told 200 or the message deleted",
        totals.events
    ));
    voice.say(format!("  merged     {} repeats, one of them over the other way", totals.duplicates));
    voice.say(format!("  refused    {} forgery", totals.refusals));
    voice.say(format!(
        "  delivered  {} to the service, byte for byte, signed anew for its own URL and key",
        service.received().len()
    ));
    voice.say(format!("  archived   {archived} records"));
}

/// The demo is a check as well: what it tells is compared with what happened.
fn verify(totals: &Totals, service: &Service, archived: usize, expected: &[Vec<u8>]) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::new(Code::Internal, what));
    let received = service.received();
    if !expected.iter().all(|body| received.contains(body)) || received.len() != expected.len() {
        return wrong("the service did not receive the bytes that were sent".to_owned());
    }
    if service.refused() > 0 {
        return wrong(format!("the service refused {} signatures", service.refused()));
    }
    if (totals.events, totals.duplicates, totals.refusals, archived) != (4, 2, 1, 4) {
        return wrong(format!("the counts are not those of what was sent: {totals:?}, {archived} archived"));
    }
    Ok(())
}

fn archived(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let count = |path: &Path| {
        if path.is_dir() {
            archived(path)
        } else {
            usize::from(path.extension().is_some_and(|end| end == "json"))
        }
    };
    entries.map(|entry| count(&entry.path())).sum()
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
