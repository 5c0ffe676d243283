//! `vodrelay verify`: does this signature fit, and if not, what would?

use clap::Args as ClapArgs;
use serde_json::json;
use vod_event::{CallbackProof, Endpoint, NamedKey};

use crate::command::key::KeyArgs;
use crate::exit::{Code, Failure};
use crate::output;

/// Arguments of `verify`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay verify --url https://hooks.example.com/vod --timestamp 1700000000 \\\n    \
    --signature ad8020183abed515d47b1ae0f92e453f --key-file vod-callback.key")]
pub(crate) struct Args {
    /// The callback URL exactly as it is configured at VOD
    #[arg(long)]
    url: String,
    /// X-VOD-TIMESTAMP as it came
    #[arg(long)]
    timestamp: String,
    /// X-VOD-SIGNATURE as it came
    #[arg(long)]
    signature: String,
    #[command(flatten)]
    key: KeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let headers = (args.timestamp.as_bytes(), args.signature.as_bytes());
    let proof = CallbackProof::from_headers(std::iter::once(headers.0), std::iter::once(headers.1))
        .map_err(|error| Failure::new(Code::Unreadable, error.to_string()))?;
    let key = NamedKey { name: "the key given".to_owned(), key: args.key.require()? };
    let endpoint = Endpoint { url: args.url.clone(), keys: vec![key] };
    let matches = endpoint.keys.iter().any(|named| proof.matches(&endpoint.url, &named.key));
    let near_miss = if matches {
        None
    } else {
        endpoint.near_miss(&proof).map(|near| format!("for {} ({})", near.url, near.differences.join(", ")))
    };
    let age_seconds = jiff::Timestamp::now().as_second() - proof.timestamp;
    if args.json {
        output::json(&json!({"matches": matches, "near_miss": near_miss, "age_seconds": age_seconds}));
    } else {
        output::line(if matches {
            "the signature matches"
        } else {
            "the signature does not match this URL and key"
        });
        match near_miss {
            Some(near) => output::line(format!("it would match {near}")),
            None if !matches => {
                output::line("no other spelling of the URL matches either: most likely the key is another")
            }
            None => {}
        }
        output::line(format!("the timestamp is {} old", output::age(age_seconds)));
    }
    if matches { Ok(()) } else { Err(Failure::new(Code::Unreadable, String::new())) }
}
