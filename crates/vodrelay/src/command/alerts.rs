//! `vodrelay alerts`: whether alerts arrive.

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;
use vodrelay_alerts::{Alert, Channel};
use vodrelay_core::{Clock, Name, SystemClock};

use crate::cli::ConfigFile;
use crate::exit::{Code, Failure};
use crate::output;
use crate::relay::relay_name;

/// Subcommands of `alerts`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  vodrelay alerts test\n  vodrelay alerts test ops")]
pub(crate) enum Args {
    /// Send one test message to each [alerts.NAME], or to one of them, and say what came back: exit 0 or 69
    #[command(after_help = "Examples:\n  vodrelay alerts test\n  vodrelay alerts test ops --json\n\n\
        Works without a running relay. It is sent whatever kinds the channel takes.")]
    Test(TestArgs),
}

/// Arguments of `alerts test`.
#[derive(Debug, ClapArgs)]
pub(crate) struct TestArgs {
    /// The channel [default: all of them]
    name: Option<Name>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Serialize)]
struct Tried {
    name: String,
    to: String,
    arrived: bool,
    error: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Args::Test(args) = args;
    let loaded = args.config.load()?;
    let settings = loaded.config.alerts.resolve(&loaded.surroundings);
    let settings = settings.map_err(|error| {
        Failure::new(Code::Configuration, format!("the configuration is wrong\n  {error}"))
    })?;
    let is_meant = |channel: &&Channel| args.name.as_ref().is_none_or(|name| name == channel.name());
    let channels: Vec<&Channel> = settings.channels.iter().filter(is_meant).collect();
    if channels.is_empty() {
        return Err(no_channel(args.name.as_ref(), &settings.channels));
    }
    let mut tried = Vec::with_capacity(channels.len());
    for channel in channels {
        tried.push(try_out(channel).await);
    }
    if args.json {
        output::json(&serde_json::json!({"alerts": tried}));
    } else {
        tried.iter().for_each(|tried| output::line(tried.as_text()));
    }
    let failed = tried.iter().filter(|tried| !tried.arrived).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(Code::Unreachable, format!("alerts that did not arrive: {failed}")))
}

async fn try_out(channel: &Channel) -> Tried {
    let now = SystemClock.now();
    let sent = channel.send(&[Alert::test(now)], &relay_name(), now).await;
    Tried {
        name: channel.name().to_string(),
        to: channel.summary(),
        arrived: sent.is_ok(),
        error: sent.err().map(|error| error.to_string()),
    }
}

impl Tried {
    fn as_text(&self) -> String {
        match &self.error {
            None => format!("{}: arrived ({})", self.name, self.to),
            Some(error) => format!("{}: FAILED: {error}", self.name),
        }
    }
}

fn no_channel(name: Option<&Name>, channels: &[Channel]) -> Failure {
    let known: Vec<&str> = channels.iter().map(|channel| channel.name().as_str()).collect();
    let message = match name {
        Some(name) if !known.is_empty() => {
            format!("[alerts.{name}] is not configured; there are: {}", known.join(", "))
        }
        _ => "no [alerts.NAME] is configured; docs/OPERATIONS.md (Alerts) says how one looks".to_owned(),
    };
    Failure::new(Code::Configuration, message)
}
