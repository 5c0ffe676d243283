//! `vodrelay trigger`: a sample event with fresh ids, signed to a URL or a callback, or as a message to a queue.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use mns_client::{Encoding, ErrorKind, Outgoing};
use serde_json::{Map, Value, json};
use vod_event::{CallbackProof, EventId, PrivateKey};
use vodrelay_core::Name;

use super::client::{client, client_of_relay, reason, scheme};
use super::key::KeyArgs;
use crate::cli::ConfigFile;
use crate::exit::{Code, Failure};
use crate::output;

/// As long as VOD waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `trigger`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay trigger --callback main\n  \
    vodrelay trigger --callback main --set Status=fail --set ErrorCode=InternalError\n  \
    vodrelay trigger FileUploadComplete --to http://127.0.0.1:8080/vod/callback \\\n    \
    --sign-url https://relay.example.com/vod/callback --key-env VOD_CALLBACK_KEY\n  \
    vodrelay trigger --file event.json --callback main\n  \
    vodrelay trigger --queue main\n\n\
    The event is as good as one of VOD's: every sink that wants it gets it, in production too.\n\
    The signature is made for the URL that the callback is known by at VOD; with --to, for that URL, or for --sign-url.")]
pub(crate) struct Args {
    /// The event type
    #[arg(default_value = "DynamicImageComplete", conflicts_with = "file")]
    event_type: String,
    /// Send to this URL
    #[arg(long, value_name = "URL", conflicts_with = "callback")]
    to: Option<String>,
    /// Send to this callback of the configuration, on this machine, signed with its first key
    #[arg(long, value_name = "NAME")]
    callback: Option<Name>,
    /// Send to this queue of the configuration, as VOD does: the body alone, unsigned
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "callback", "sign_url"])]
    queue: Option<Name>,
    /// Only print the body
    #[arg(long)]
    print: bool,
    /// Set a field of the event; with = in the name's place inside DynamicImageJobInfo write DynamicImageJobInfo.Field
    #[arg(long = "set", value_name = "Field=value")]
    set: Vec<String>,
    /// Send the bytes of this file instead
    #[arg(long, value_name = "FILE", conflicts_with = "set")]
    file: Option<PathBuf>,
    /// The URL that the signature is made for [default: --to]
    #[arg(long, value_name = "URL")]
    sign_url: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// Where to, as whom, and signed with what.
struct Target {
    url: String,
    signed_url: String,
    key: Option<PrivateKey>,
    client: reqwest::Client,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let body = match &args.file {
        Some(file) => std::fs::read(file).map_err(|error| {
            Failure::new(Code::Unreadable, format!("cannot read {}: {error}", file.display()))
        })?,
        None => sample(&args.event_type, &args.set, Timestamp::now())?,
    };
    if args.print {
        output::raw(String::from_utf8_lossy(&body));
        return Ok(());
    }
    if let Some(name) = &args.queue {
        return enqueue(name, &body, &args).await;
    }
    let target = target(&args)?;
    let id = id_of(&body);
    let status = send(&target, body).await?;
    let verdict = match status {
        200 => "accepted, it is on the relay's disk",
        400 => "it is not an event, and came without a proof",
        401 if target.key.is_none() => {
            "refused; it was sent unsigned: give the callback's key with --key-env, --key-file or --key"
        }
        401 => {
            "refused; the key, the signed URL or the clock is not the relay's (`vodrelay refused list`, then `vodrelay refused explain ID`)"
        }
        404 => "nothing listens at that path",
        503 => "the relay could not make it durable, or not in time (see its log)",
        _ => "VOD counts nothing but 200 as success",
    };
    if args.json {
        let accepted = status == 200;
        output::json(&json!({"url": target.url, "status": status, "accepted": accepted, "id": id}));
    } else {
        output::line(format!("{} answered {status}: {verdict}", target.url));
        if status == 200 {
            output::line(format!("what becomes of it: vodrelay explain {id}"));
        }
    }
    if status == 200 {
        Ok(())
    } else {
        Err(Failure::new(Code::Unreachable, format!("the answer was {status}")))
    }
}

fn id_of(body: &[u8]) -> EventId {
    vod_event::read(body).map_or_else(|_| EventId::of_raw(body), |reading| reading.id())
}

/// That there is nothing of the name, and what there is.
fn unknown<'n>(table: &str, name: &Name, known: impl Iterator<Item = &'n Name>) -> Failure {
    let known: Vec<&str> = known.map(Name::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Failure::new(
        Code::Usage,
        format!("there is no [{table}.{name}] in the configuration; there are: {known}"),
    )
}

async fn enqueue(name: &Name, body: &[u8], args: &Args) -> Result<(), Failure> {
    if args.key.resolve()?.is_some() {
        let message = "a message of a queue has no signature, so --queue takes no callback key";
        return Err(Failure::new(Code::Usage, message));
    }
    let loaded = args.config.load()?;
    let settings = loaded.config.mns.resolve(&loaded.surroundings);
    let settings = settings.map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
    let queue = settings.queues.iter().find(|queue| queue.name == *name);
    let queue =
        queue.ok_or_else(|| unknown("mns.queues", name, settings.queues.iter().map(|queue| &queue.name)))?;
    let message = Outgoing::encoded(body, Encoding::Auto)
        .map_err(|error| Failure::new(Code::Unreadable, format!("no message can be made of it: {error}")))?;
    let sent = queue.queue.send(&message).await.map_err(|error| {
        let mend = match error.kind() {
            ErrorKind::AccessDenied if error.code() == Some("AccessDenied") => {
                "a relay needs no right to send; give these keys mns:SendMessage for the trial"
            }
            _ => vodrelay_mns::mend(&error),
        };
        let doubt = if error.may_have_happened() {
            let id = id_of(body);
            format!("\n  the message may be in the queue all the same; before you send another: vodrelay explain {id}")
        } else {
            String::new()
        };
        Failure::new(Code::Unreachable, format!("{error}\n  {mend}{doubt}"))
    })?;
    let (id, queue) = (id_of(body), queue.queue.name());
    if args.json {
        output::json(&json!({"queue": queue.as_str(), "message_id": sent.message_id, "id": id}));
    } else {
        output::line(format!("queue {queue} has it as message {}", sent.message_id.escape_debug()));
        output::line(format!("what becomes of it: vodrelay explain {id}"));
    }
    Ok(())
}

/// A sample of that type with fresh ids, compact as the provider sends it.
pub(crate) fn sample(event_type: &str, changes: &[String], now: Timestamp) -> Result<Vec<u8>, Failure> {
    let (video, job) = (fresh_id(), fresh_id());
    let mut event = Map::new();
    let mut put = |key: &str, value: &str| event.insert(key.to_owned(), Value::String(value.to_owned()));
    put("Status", "success");
    put("VideoId", &video);
    put("EventType", event_type);
    put("EventTime", &now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let mut info = Map::new();
    if event_type == "DynamicImageComplete" {
        put("JobId", &job);
        let url = format!("http://vod.example.com/{video}/image/dynamic/{}.gif", fresh_id());
        let members = [
            ("JobId", job.as_str()),
            ("Status", "success"),
            ("FileURL", &url),
            ("FileSize", "1834831"),
            ("Fps", "25"),
            ("Height", "200"),
            ("Width", "200"),
        ];
        info.extend(members.map(|(key, value)| (key.to_owned(), Value::String(value.to_owned()))));
    }
    for change in changes {
        let (key, value) = change
            .split_once('=')
            .ok_or_else(|| Failure::new(Code::Usage, format!("--set {change}: write it as Field=value")))?;
        let value = Value::String(value.to_owned());
        match key.strip_prefix("DynamicImageJobInfo.") {
            Some(inner) => info.insert(inner.to_owned(), value),
            None => event.insert(key.to_owned(), value),
        };
    }
    let failed = event.get("Status").and_then(Value::as_str) == Some("fail");
    if !info.is_empty() && !failed {
        event.insert("DynamicImageJobInfo".to_owned(), Value::String(Value::Object(info).to_string()));
    }
    Ok(Value::Object(event).to_string().into_bytes())
}

fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn target(args: &Args) -> Result<Target, Failure> {
    if let Some(url) = &args.to {
        let signed_url = args.sign_url.clone().unwrap_or_else(|| url.clone());
        return Ok(Target {
            url: url.clone(),
            signed_url,
            key: args.key.resolve()?,
            client: client(PATIENCE)?,
        });
    }
    let Some(name) = &args.callback else {
        return Err(Failure::new(Code::Usage, "say where to: --to URL, --callback NAME or --queue NAME"));
    };
    let loaded = args.config.load()?;
    let wrong =
        |error: vodrelay_core::config::ConfigError| Failure::new(Code::Configuration, error.to_string());
    let settings = loaded.config.http.resolve(&loaded.surroundings).map_err(wrong)?;
    let known = settings.callbacks.iter().map(|callback| &callback.name);
    let not_there = unknown("http.callbacks", name, known);
    let callback = settings.callbacks.into_iter().find(|callback| callback.name == *name).ok_or(not_there)?;
    let tls = loaded.config.http.tls.as_ref();
    let client = client_of_relay(PATIENCE, tls, &loaded.surroundings)?;
    let url = format!("{}://{}{}", scheme(tls), loaded.config.http.listen, callback.path);
    let own_key = callback.endpoint.keys.into_iter().next().map(|named| named.key);
    Ok(Target { url, signed_url: callback.endpoint.url, key: args.key.resolve()?.or(own_key), client })
}

/// Sends one callback as VOD does, without its retries.
async fn send(target: &Target, body: Vec<u8>) -> Result<u16, Failure> {
    let mut request = target.client.post(&target.url).header("content-type", "application/json").body(body);
    if let Some(key) = &target.key {
        let proof = CallbackProof::make(&target.signed_url, key, Timestamp::now());
        request = request
            .header(CallbackProof::TIMESTAMP_HEADER, proof.timestamp.to_string())
            .header(CallbackProof::SIGNATURE_HEADER, proof.signature_hex());
    }
    let answer = request.send().await.map_err(|error| {
        Failure::new(
            Code::Unreachable,
            format!("{} does not answer: {}; is the relay running there?", target.url, reason(&error)),
        )
    })?;
    Ok(answer.status().as_u16())
}
