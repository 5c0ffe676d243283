//! `cargo xtask torture`: breaks what a relay stands on, in the middle of a load, and settles the account.
//!
//! Reading order: `rows` says what is done how often, `rig` and `stage` on what, `faults` what goes wrong,
//! `account` what is looked at in the end, `load` and `sender` who sends, `receiver` who gets it, `relay` the process, `preload` what stands between it
//! and the C library. Nothing acknowledged may be missing, nothing may be altered, and 95 of 100 faults have to strike
//! while requests are in flight, or a row has failed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to the person who called it")]

mod account;
mod balancer;
mod control;
mod deletions;
mod faults;
mod http;
mod images;
mod load;
mod overload;
mod queue;
mod receiver;
mod relay;
mod report;
mod rig;
mod rows;
mod secrets;
mod sender;
mod stage;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::relay::Programs;
use crate::rows::{ROWS, Row};

/// What was asked for.
#[derive(Debug)]
struct Plan {
    rows: Vec<&'static Row>,
    /// Whether there is more than the machine can take, too.
    overload: bool,
    is_long: bool,
    write: bool,
    times: Option<usize>,
    seed: u64,
    programs: Programs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match Plan::of(&words) {
        Ok(plan) => plan.run().await,
        Err(usage) => Err(usage),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("torture: {message}");
            ExitCode::FAILURE
        }
    }
}

impl Plan {
    fn of(words: &[String]) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let programs = Programs {
            vodrelay: this.with_file_name("vodrelay"),
            preload: this.with_file_name("libvodrelay_preload.so"),
        };
        let (rows, seed) = (Vec::new(), u64::from(rand::random::<u32>()));
        let mut plan =
            Self { rows, overload: false, is_long: false, write: false, times: None, seed, programs };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(usage);
            match word {
                "--long" => plan.is_long = true,
                "--write" => plan.write = true,
                "--seed" => plan.seed = number()?,
                "--times" => plan.times = Some(number()? as usize),
                "--relay" => plan.programs.vodrelay = PathBuf::from(words.next().ok_or_else(usage)?),
                overload::NAME => plan.overload = true,
                name => plan.rows.push(ROWS.iter().find(|row| row.name == name).ok_or_else(usage)?),
            }
        }
        let names_rows = plan.overload || !plan.rows.is_empty();
        if plan.write && (!plan.is_long || plan.times.is_some()) {
            return Err("--write writes what the long plan came to, so it goes with --long".to_owned());
        }
        if !names_rows {
            plan.rows = ROWS.iter().collect();
            plan.overload = true;
        }
        Ok(plan)
    }

    async fn run(&self) -> Result<(), String> {
        println!("seed {}\n", self.seed);
        if !self.rows.is_empty() {
            println!("{}", report::HEAD);
        }
        let mut failed = Vec::new();
        for row in &self.rows {
            if !self.row(row).await? {
                failed.push(row.name);
            }
        }
        if self.overload && !self.overload().await? {
            failed.push(overload::NAME);
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(format!("not as promised, with seed {}: {}", self.seed, failed.join(", ")))
    }

    /// Says whether all was as promised; what could not be settled was not.
    async fn row(&self, row: &Row) -> Result<bool, String> {
        let times = self.times.unwrap_or(if self.is_long { row.long } else { row.short });
        let account = match row.run(&self.programs, times, self.seed).await {
            Ok(account) => account,
            Err(error) => {
                println!("{}, seed {}: {error}", row.name, self.seed);
                return Ok(false);
            }
        };
        let line = report::line(row, &account, self.seed, &today());
        println!("{line}");
        account.wrong.iter().for_each(|wrong| println!("    WRONG: {wrong}"));
        if account.is_well() && self.write {
            report::write(&document(), &[line])?;
        }
        Ok(account.is_well())
    }

    async fn overload(&self) -> Result<bool, String> {
        println!();
        let found = overload::run(&self.programs, overload::Scale::new(self.is_long)).await?;
        if found.wrong.is_empty() && self.write {
            overload::write(&document(), &format!("Last run on {}.", today()), &found)?;
        }
        Ok(found.wrong.is_empty())
    }
}

fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Where what came of it is told.
fn document() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("docs/RELIABILITY.md")
}

fn usage() -> String {
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).chain([overload::NAME]).collect();
    format!(
        "usage: cargo xtask torture [--long] [--write] [--seed N] [--times N] [--relay PROGRAM] [ROW…], where a ROW is one of {}",
        names.join(", ")
    )
}
