//! `cargo xtask fuzz`: coverage-guided fuzzing of each target in `fuzz/`, from a corpus made of the fixtures.
//!
//! The compiler instruments and libFuzzer drives; both work with the stable toolchain, and libFuzzer wants a C++
//! compiler. What is found stands in the build folder; it becomes a fixture with the mend.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::{cargo, root, target};

const DEFAULT_SECONDS: u32 = 600;

/// What the compiler adds: counters of edges, tables of places, and what is compared with what.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// One target, with where its first inputs come from and the longest that it makes.
struct Target {
    name: &'static str,
    seeds: fn(&Path) -> Result<Vec<Vec<u8>>, String>,
    longest: u32,
}

const TARGETS: [Target; 4] = [
    Target { name: "event", seeds: seeds::events, longest: 8 << 10 },
    Target { name: "callback", seeds: seeds::callbacks, longest: 8 << 10 },
    Target { name: "mns_answer", seeds: seeds::answers, longest: 8 << 10 },
    Target { name: "configuration", seeds: seeds::configurations, longest: 4 << 10 },
];

/// Fuzzes the targets that are named, or all, for so long each.
pub(crate) fn fuzz(words: &[String]) -> Result<(), String> {
    let (targets, seconds) = asked(words)?;
    if !has_compiler() {
        println!("there is no C++ compiler (c++), which libFuzzer wants, so nothing was FUZZED here");
        return Ok(());
    }
    let folder = target().join("fuzz");
    let programs = build_instrumented(&folder)?;
    let mut found = Vec::new();
    for target in targets {
        let run = run(target, &programs.join(target.name), &folder, seconds)?;
        println!("{:<14} {}", target.name, run.report);
        found.extend(run.finding.then_some(target.name));
    }
    if found.is_empty() {
        return Ok(());
    }
    let artifacts = folder.join("artifacts");
    Err(format!("something was found in {}; the inputs are in {}", found.join(", "), artifacts.display()))
}

/// What `cargo xtask ci` has time for: that the targets build, and that each takes its first inputs.
pub(crate) fn check() -> Result<(), String> {
    let folder = target();
    let shared =
        ["--manifest-path", "fuzz/Cargo.toml", "--locked", "--target-dir", &folder.to_string_lossy()];
    cargo(&[&["clippy"], &shared[..], &["--", "-D", "warnings"]].concat(), &[])?;
    if !has_compiler() {
        println!("there is no C++ compiler (c++), which libFuzzer wants, so no fuzz target was RUN here");
        return Ok(());
    }
    cargo(&[&["build", "--features", "link"], &shared[..]].concat(), &[])?;
    for target in &TARGETS {
        take_seeds(target, &folder)?;
    }
    Ok(())
}

/// The targets by name, all where none is named, and the seconds for each.
fn asked(words: &[String]) -> Result<(Vec<&'static Target>, u32), String> {
    let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let usage = || {
        format!(
            "usage: cargo xtask fuzz [--seconds N] [TARGET…], where a TARGET is one of {}",
            known.join(", ")
        )
    };
    let (mut names, mut seconds) = (Vec::new(), DEFAULT_SECONDS);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--seconds" => seconds = words.next().and_then(|number| number.parse().ok()).ok_or_else(usage)?,
            name if known.contains(&name) => names.push(name),
            _ => return Err(usage()),
        }
    }
    let wanted = |target: &&Target| names.is_empty() || names.contains(&target.name);
    Ok((TARGETS.iter().filter(wanted).collect(), seconds))
}

fn has_compiler() -> bool {
    Command::new("c++").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Builds the targets with what the fuzzer steers by; answers where the programs are.
fn build_instrumented(folder: &Path) -> Result<PathBuf, String> {
    let triple = host()?;
    let manifest = root().join("fuzz/Cargo.toml");
    let (manifest, folder_name) = (manifest.to_string_lossy(), folder.to_string_lossy());
    let words = ["build", "--release", "--locked", "--features", "link", "--target", &triple];
    let words = [&words[..], &["--manifest-path", &manifest, "--target-dir", &folder_name]].concat();
    cargo(&words, &[("RUSTFLAGS", INSTRUMENTATION)])?;
    Ok(folder.join(triple).join("release"))
}

/// The machine that is built for, named so that build scripts, which are built for it as well, are not instrumented.
fn host() -> Result<String, String> {
    let version = Command::new("rustc").arg("-vV").output().map_err(|error| format!("no rustc: {error}"))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc does not say what it builds for: {version}"))
}

struct Run {
    report: String,
    finding: bool,
}

/// Runs one target over its corpus, which grows from run to run.
fn run(target: &Target, program: &Path, folder: &Path, seconds: u32) -> Result<Run, String> {
    let (corpus, artifacts) =
        (folder.join("corpus").join(target.name), folder.join("artifacts").join(target.name));
    sow(target, &corpus)?;
    create(&artifacts)?;
    let output = Command::new(program)
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !output.status.success() {
        let report = format!("FOUND SOMETHING\n{}", end_of(&output.stderr));
        return Ok(Run { report, finding: true });
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let stat = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        value.unwrap_or("?").to_owned()
    };
    let (first, last) = (coverage(&said, "INITED"), coverage(&said, "DONE"));
    let report = format!(
        "{seconds} s: {} executions, coverage {first} at first and {last} at last, {} MB at most; nothing was found",
        stat("stat::number_of_executed_units:"),
        stat("stat::peak_rss_mb:"),
    );
    Ok(Run { report, finding: false })
}

/// Gives each first input to the target, once.
fn take_seeds(target: &Target, folder: &Path) -> Result<(), String> {
    let seeds = folder.join("fuzz").join("seeds").join(target.name);
    let sown = sow(target, &seeds)?;
    let program = folder.join("debug").join(target.name);
    let output = Command::new(&program)
        .args(&sown)
        .args(["-timeout=20", "-rss_limit_mb=1024"])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!(
            "the fuzz target {} fails over its seeds\n{}",
            target.name,
            end_of(&output.stderr)
        ));
    }
    println!("{:<14} takes its {} seeds", target.name, sown.len());
    Ok(())
}

/// Writes the first inputs of the target into that folder; answers their files.
fn sow(target: &Target, folder: &Path) -> Result<Vec<PathBuf>, String> {
    create(folder)?;
    let sow = |(number, seed): (usize, Vec<u8>)| {
        let file = folder.join(format!("seed-{number:03}"));
        fs::write(&file, seed).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(file)
    };
    (target.seeds)(&root().join("fixtures"))?.into_iter().enumerate().map(sow).collect()
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))
}

/// What a target said last: from a little before its panic on, or the last lines where there was none.
fn end_of(said: &[u8]) -> String {
    const LINES: usize = 30;
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().collect();
    let panic =
        lines.iter().rposition(|line| line.contains("panicked at")).map(|line| line.saturating_sub(2));
    let from = panic.unwrap_or(lines.len().saturating_sub(LINES));
    lines.get(from..).unwrap_or_default().join("\n")
}

/// How many edges were covered at that moment.
fn coverage<'s>(said: &'s str, moment: &str) -> &'s str {
    let line = said.lines().find(|line| line.contains(moment)).unwrap_or_default();
    line.split("cov: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("?")
}
