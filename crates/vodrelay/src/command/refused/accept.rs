//! `vodrelay refused accept`: what is genuine among the refused requests of a callback comes in after all.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vodrelay_core::Name;

use crate::command::ask::Target;
use crate::exit::Failure;
use crate::output;

/// Arguments of `refused accept`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Accept {
    /// The callback
    #[arg(long, value_name = "NAME")]
    callback: Name,
    /// Take those too that only the clock refused; whoever ever saw a proof can have made them
    #[arg(long)]
    stale: bool,
    /// Change nothing, and tell what would come of it
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
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
    let body = json!({"callback": args.callback, "stale": args.stale, "dry_run": args.dry_run});
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
        if self.dry_run {
            output::line("nothing was changed");
        }
    }
}
