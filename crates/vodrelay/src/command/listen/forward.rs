//! Sends one event to a receiver on the developer's machine, as a webhook sink would.

use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};
use url::Url;
use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::config::{SecretSource, Span, Surroundings};
use vodrelay_core::{Clock, SystemClock};

use crate::cli::environment;
use crate::command::ask::RunningRelay;
use crate::command::client::client;
use crate::command::events::item::Item;
use crate::exit::{Code, Failure};
use crate::output;

/// Between two tries, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// While the receiver is away, that is said about so often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Where events go.
#[derive(Debug, ClapArgs)]
pub(crate) struct ForwardArgs {
    /// POST each event to this URL; without it events are only printed
    #[arg(long, value_name = "URL", value_parser = receiver)]
    forward: Option<Url>,
    /// Sign anew as VOD would, with the key in this environment variable
    #[arg(long, value_name = "NAME", requires = "forward")]
    vod_key_env: Option<String>,
    /// The URL that the receiver checks the signature against [default: --forward]
    #[arg(long, value_name = "URL", requires = "vod_key_env")]
    vod_url: Option<String>,
    /// How long the receiver may take; longer where you stop in a debugger
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = Span::parse)]
    timeout: Span,
}

/// The URL of a receiver; `127.0.0.1:3000` alone would be one of a scheme of its own.
fn receiver(text: &str) -> Result<Url, String> {
    let found = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    found.ok_or_else(|| "expected a URL like http://127.0.0.1:3000/hook".to_owned())
}

/// Sends events.
#[derive(Debug)]
pub(crate) struct Forwarder {
    client: reqwest::Client,
    url: Url,
    proof: Option<(PrivateKey, String)>,
}

/// What became of one.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The receiver's answer; nothing where there was nothing to send.
    pub(crate) status: Option<u16>,
    pub(crate) took_ms: u64,
    pub(crate) attempts: u32,
}

impl ForwardArgs {
    pub(crate) fn forwarder(&self) -> Result<Option<Forwarder>, Failure> {
        let Some(url) = &self.forward else { return Ok(None) };
        let proof = match &self.vod_key_env {
            Some(name) => {
                let around = Surroundings { environment: environment().into(), ..Default::default() };
                let key = SecretSource::Env(name.clone()).resolve(&around);
                let key = key.map_err(|error| Failure::new(Code::Usage, error.message))?;
                let url = self.vod_url.clone().unwrap_or_else(|| url.to_string());
                Some((PrivateKey::new(key.expose()), url))
            }
            None => None,
        };
        Ok(Some(Forwarder { client: client(self.timeout.0)?, url: url.clone(), proof }))
    }
}

impl Forwarder {
    /// Without what may be a secret in it.
    pub(crate) fn shown(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }

    /// Sends it until the receiver has it, whatever it says to it then.
    ///
    /// # Errors
    /// If the relay lets nobody read its events any more.
    pub(crate) async fn forward(&self, relay: &RunningRelay, item: &Item) -> Result<Outcome, Failure> {
        let Some(body) = body_of(relay, item).await? else {
            return Ok(Outcome { status: None, took_ms: 0, attempts: 0 });
        };
        let (mut attempt, mut pause, mut said_at) = (0, FIRST_PAUSE, None::<Instant>);
        loop {
            attempt += 1;
            let began = Instant::now();
            let answered = self.request(item, attempt).body(body.clone()).send().await;
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let why = match answered {
                Ok(answer) if is_away(answer.status()) => format!("answers {}", answer.status()),
                Ok(answer) => {
                    if said_at.is_some() {
                        output::note("the receiver is there again");
                    }
                    return Ok(Outcome {
                        status: Some(answer.status().as_u16()),
                        took_ms,
                        attempts: attempt,
                    });
                }
                Err(error) => innermost(&error.without_url()),
            };
            if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                said_at = Some(Instant::now());
                let event = &item.id;
                output::note(format!(
                    "{}: {why}; {event} and what comes after it wait, and are tried again",
                    self.shown()
                ));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn request(&self, item: &Item, attempt: u32) -> reqwest::RequestBuilder {
        let now = SystemClock.now();
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", item.id.to_string())
            .header("webhook-timestamp", now.as_second().to_string())
            .header("vodrelay-attempt", attempt.to_string())
            .header("vodrelay-received-at", item.received_at.to_string());
        self.signed(request, now)
    }

    fn signed(&self, request: reqwest::RequestBuilder, now: Timestamp) -> reqwest::RequestBuilder {
        let Some((key, url)) = &self.proof else { return request };
        let proof = CallbackProof::make(url, key, now);
        request
            .header(CallbackProof::TIMESTAMP_HEADER, proof.timestamp().to_owned())
            .header(CallbackProof::SIGNATURE_HEADER, proof.signature_hex())
    }
}

impl Outcome {
    pub(crate) fn as_text(&self) -> String {
        let Self { status, took_ms, attempts } = self;
        let Some(status) = status else { return "not sent: the relay has its body no more".to_owned() };
        let word = if (200..300).contains(status) { "" } else { " (not 2xx: it is not sent again)" };
        let tries = if *attempts > 1 { format!(", attempts {attempts}") } else { String::new() };
        format!("{status} in {took_ms} ms{tries}{word}")
    }
}

/// What stands in front of a service that is just being started says these.
fn is_away(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// The event's bytes; nothing where its retention has passed. A relay that is away is waited for.
async fn body_of(relay: &RunningRelay, item: &Item) -> Result<Option<bytes::Bytes>, Failure> {
    let (mut pause, mut is_said) = (FIRST_PAUSE, false);
    loop {
        match relay.bytes(&format!("/events/{}/body", item.id)).await {
            Ok(body) => return Ok(Some(body)),
            Err(failure) if failure.code == Code::Unreadable => return Ok(None),
            Err(failure) if failure.code == Code::Unreachable => {
                if !std::mem::replace(&mut is_said, true) {
                    output::note(format!("{failure}\ntrying again until it does"));
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The cause, which says more than that there is one.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
