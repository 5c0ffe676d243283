//! `vodrelay refused accept`: what is genuine among the refused requests of a callback comes in after all.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vodrelay_core::config::Span;
use vodrelay_core::{Name, RefusalCause};

use crate::command::ask::Target;
use crate::command::when;
use crate::exit::Failure;
use crate::output;

/// Arguments of `refused accept`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Accept {
    /// The callback
    #[arg(long, value_name = "NAME")]
    callback: Name,
    /// Those with one cause: missing, malformed, mismatch, stale, unreadable
    #[arg(long)]
    cause: Option<RefusalCause>,
    /// Those of one sender
    #[arg(long)]
    address: Option<String>,
    /// Those received since: a moment in RFC 3339, or how long ago, like 2h
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    since: Option<Timestamp>,
    /// Those received before
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Take those too that only the clock refused; whoever ever saw a proof can have made them
    #[arg(long)]
    stale: bool,
    /// Of those that are stale, take only the ones that are off by so much, like -7200s..-7100s
    #[arg(long, value_name = "LEAST..MOST", value_parser = window, allow_hyphen_values = true, requires = "stale")]
    off_by: Option<(i64, i64)>,
    /// Change nothing, and tell what would come of it
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// A window of seconds.
fn window(text: &str) -> Result<(i64, i64), String> {
    let (least, most) = text.split_once("..").ok_or("write the least and the most, like -7200s..-7100s")?;
    let (least, most) = (seconds(least)?, seconds(most)?);
    if least > most {
        return Err("the least comes first, like -7200s..-7100s".to_owned());
    }
    Ok((least, most))
}

fn seconds(text: &str) -> Result<i64, String> {
    let (sign, span) = text.strip_prefix('-').map_or((1, text), |span| (-1, span));
    let Span(span) = Span::parse(span)?;
    Ok(sign * i64::try_from(span.as_secs()).map_err(|error| error.to_string())?)
}

#[derive(Debug, Deserialize, Serialize)]
struct Summary {
    accepted: u64,
    merged: u64,
    left: BTreeMap<String, u64>,
    stale_off_by_seconds: Option<(i64, i64)>,
    dry_run: bool,
}

pub(super) async fn run(args: Accept) -> Result<(), Failure> {
    let body = json!({
        "callback": args.callback, "cause": args.cause, "address": args.address, "since": args.since,
        "until": args.until, "stale": args.stale, "off_by": args.off_by, "dry_run": args.dry_run,
    });
    let summary: Summary = args.target.relay()?.post("/refused/accept", &body).await?;
    if args.json {
        output::json(&summary);
    } else {
        summary.print();
    }
    Ok(())
}

impl Summary {
    fn print(&self) {
        let (accepted, merged) = (self.accepted, self.merged);
        let left: u64 = self.left.values().sum();
        let tense = if self.dry_run { "would be " } else { "" };
        output::line(format!("{accepted} {tense}accepted, {merged} {tense}merged as repeats, {left} left"));
        for (cause, count) in &self.left {
            output::line(format!("left  {cause}: {count}"));
        }
        if let Some((least, most)) = self.stale_off_by_seconds {
            output::line(format!("      those that are stale are off by {least} s to {most} s"));
        }
        if left > 0 && accepted + merged == 0 {
            output::line(
                "`vodrelay refused list` names them, and `vodrelay refused explain ID` tells why one is left",
            );
        }
        if self.dry_run {
            output::line("nothing was changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_two_ends() {
        let check = |text: &str, expect: Option<(i64, i64)>| assert_eq!(window(text).ok(), expect, "{text}");
        check("-7200s..-7100s", Some((-7_200, -7_100)));
        check("-2h..5m", Some((-7_200, 300)));
        check("0s..0s", Some((0, 0)));
        for text in ["5m..-2h", "5m", "-7200..-7100", "..5m", "--5m..5m", ""] {
            check(text, None);
        }
    }
}
