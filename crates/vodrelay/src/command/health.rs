//! `vodrelay health`: for containers without curl.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::ask::address;
use super::client::{client_of_relay, reason, scheme};
use crate::cli::ConfigFile;
use crate::exit::{Code, Failure};
use crate::output;

/// Arguments of `health`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  vodrelay health\n  vodrelay health --admin 127.0.0.1:8081")]
pub(crate) struct Args {
    /// The admin listener of the relay [default: that of the configuration]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    admin: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    // Another relay may be named where there is no configuration; then it speaks plain HTTP.
    let loaded = match (args.config.load(), args.admin) {
        (Ok(loaded), _) => Some(loaded),
        (Err(_), Some(_)) => None,
        (Err(failure), None) => return Err(failure),
    };
    let (admin, surroundings) =
        loaded.map(|loaded| (loaded.config.admin, loaded.surroundings)).unwrap_or_default();
    let address = args.admin.unwrap_or(admin.listen);
    let unreachable = |why: String| Failure::new(Code::Unreachable, format!("the relay at {address} {why}"));
    let (tls, patience) = (admin.tls.as_ref(), Duration::from_secs(5));
    let client = client_of_relay(patience, tls, &surroundings)?;
    let answer = client.get(format!("{}://{address}/readyz?verbose", scheme(tls))).send().await;
    let answer = answer.map_err(|error| {
        unreachable(format!("does not answer ({}); is `vodrelay serve` running?", reason(&error)))
    })?;
    let ready = answer.status().is_success();
    let text = answer.text().await.unwrap_or_default();
    if args.json {
        output::json(&serde_json::json!({"ready": ready, "detail": text.trim()}));
    } else {
        output::line(text.trim());
    }
    if ready { Ok(()) } else { Err(unreachable("is not ready".to_owned())) }
}
