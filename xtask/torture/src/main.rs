//! `cargo xtask torture`: breaks what a relay stands on, in the middle of a load, and settles the account.
//!
//! Reading order: `rows` says what is done how often, `rig` is the stage and the account at its end, `faults` what goes
//! wrong, `load` and `sender` who sends, `receiver` who gets it, `relay` the process, `preload` what stands between it
//! and the C library. Nothing acknowledged may be missing, nothing may be altered, and 95 of 100 faults have to strike
//! while requests are in flight, or a row has failed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to the person who called it")]

mod control;
mod faults;
mod http;
mod load;
mod overload;
mod receiver;
mod relay;
mod report;
mod rig;
mod rows;
mod secrets;
mod sender;
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
        if plan.write && (!plan.is_long || names_rows || plan.times.is_some()) {
            return Err(
                "--write writes the whole table of the long plan, so it goes with --long alone".to_owned()
            );
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
        let (mut lines, mut failed) = (vec![report::HEAD.to_owned()], Vec::new());
        for row in &self.rows {
            let times = self.times.unwrap_or(if self.is_long { row.long } else { row.short });
            let account = rows::run(row, &self.programs, times, self.seed).await;
            let account = account.map_err(|error| format!("{}, seed {}: {error}", row.name, self.seed))?;
            let line = report::line(row, &account, self.seed);
            println!("{line}");
            account.wrong.iter().for_each(|wrong| println!("    WRONG: {wrong}"));
            if !account.is_well() {
                failed.push(row.name);
            }
            lines.push(line);
        }
        let overload = self.overload().await?;
        if !overload.wrong.is_empty() {
            failed.push(overload::NAME);
        }
        if self.write {
            let measured =
                format!("Run on {} with a release build.", jiff::Timestamp::now().strftime("%Y-%m-%d"));
            report::write(&root().join("docs/RELIABILITY.md"), &measured, &lines)?;
            overload::write(&root().join("docs/RELIABILITY.md"), &measured, &overload)?;
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(format!("not as promised, with seed {}: {}", self.seed, failed.join(", ")))
    }

    async fn overload(&self) -> Result<overload::Found, String> {
        if !self.overload {
            return Ok(overload::Found::default());
        }
        println!();
        overload::run(&self.programs, overload::Scale::new(self.is_long)).await
    }
}

fn usage() -> String {
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).chain([overload::NAME]).collect();
    format!(
        "usage: cargo xtask torture [--long] [--write] [--seed N] [--times N] [--relay PROGRAM] [ROW…], where a ROW is one of {}",
        names.join(", ")
    )
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
