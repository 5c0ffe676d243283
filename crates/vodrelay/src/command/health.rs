//! `vodrelay health`: for containers without curl.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args as ClapArgs;

use crate::cli::ConfigFile;
use crate::exit::{Code, Failure};
use crate::output;

/// Arguments of `health`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  vodrelay health\n  vodrelay health --admin 127.0.0.1:8081")]
pub(crate) struct Args {
    /// The admin listener of the relay [default: that of the configuration]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let address = match args.admin {
        Some(address) => address,
        None => args.config.load()?.config.admin.listen,
    };
    let unreachable = |why: String| Failure::new(Code::Unreachable, format!("the relay at {address} {why}"));
    let client = crate::command::trigger::client(Duration::from_secs(5))?;
    let answer = client.get(format!("http://{address}/readyz?verbose")).send().await;
    let answer = answer
        .map_err(|error| unreachable(format!("does not answer ({error}); is `vodrelay serve` running?")))?;
    let ready = answer.status().is_success();
    let text = answer.text().await.unwrap_or_default();
    if args.json {
        output::json(&serde_json::json!({"ready": ready, "detail": text.trim()}));
    } else {
        output::line(text.trim());
    }
    if ready { Ok(()) } else { Err(unreachable("is not ready".to_owned())) }
}
