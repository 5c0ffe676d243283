//! `cargo xtask fuzz`: coverage-guided fuzzing of each target in `fuzz/`, from a corpus made of the fixtures.
//!
//! The compiler instruments and libFuzzer drives; both work with the stable toolchain, and libFuzzer wants a C++
//! compiler. What is found stands in the build folder; it becomes a fixture with the mend.

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
    Target { name: "event", seeds: events, longest: 8 << 10 },
    Target { name: "callback", seeds: callbacks, longest: 8 << 10 },
    Target { name: "mns_answer", seeds: answers, longest: 8 << 10 },
    Target { name: "configuration", seeds: configurations, longest: 4 << 10 },
];

/// Fuzzes the targets that are named, or all, for so long each.
pub(crate) fn fuzz(words: &[String]) -> Result<(), String> {
    let (targets, seconds) = asked(words)?;
    if Command::new("c++").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("there is no C++ compiler (c++), which libFuzzer wants, so nothing was FUZZED here");
        return Ok(());
    }
    let folder = target().join("fuzz");
    let triple = host()?;
    let manifest = root().join("fuzz/Cargo.toml");
    let (manifest, folder_name) = (manifest.to_string_lossy(), folder.to_string_lossy());
    let words = ["build", "--release", "--locked", "--features", "link", "--target", &triple];
    let words = [&words[..], &["--manifest-path", &manifest, "--target-dir", &folder_name]].concat();
    cargo(&words, &[("RUSTFLAGS", INSTRUMENTATION)])?;
    let programs = folder.join(triple).join("release");
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
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    }
    for (number, seed) in (target.seeds)(&root().join("fixtures"))?.into_iter().enumerate() {
        let file = corpus.join(format!("seed-{number:03}"));
        fs::write(&file, seed).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let output = Command::new(program)
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last: Vec<&str> = said.lines().rev().take(30).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Ok(Run { report: format!("FOUND SOMETHING\n{}", last.join("\n")), finding: true });
    }
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

/// How many edges were covered at that moment.
fn coverage<'s>(said: &'s str, moment: &str) -> &'s str {
    let line = said.lines().find(|line| line.contains(moment)).unwrap_or_default();
    line.split("cov: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("?")
}

fn events(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    files(&fixtures.join("events"), "json")
}

fn configurations(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    files(&fixtures.join("config"), "toml")
}

/// Requests with events, some with the proof that the target's receiver takes.
fn callbacks(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    const PROOF: &str =
        "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: ad8020183abed515d47b1ae0f92e453f\r\n";
    let mut requests = vec![b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()];
    for (number, body) in events(fixtures)?.into_iter().enumerate() {
        let (path, proof) = if number % 3 == 0 { ("/open", "") } else { ("/vod", PROOF) };
        let framing = format!("content-length: {}\r\n\r\n", body.len());
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        let (before, after) = if number % 2 == 0 { (framing, "") } else { (chunked, "\r\n0\r\n\r\n") };
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\n{proof}{before}");
        requests.push([head.as_bytes(), &body, after.as_bytes()].concat());
    }
    Ok(requests)
}

/// Recorded answers, each to every request that the target makes.
fn answers(fixtures: &Path) -> Result<Vec<Vec<u8>>, String> {
    const REQUESTS: u8 = 6;
    let recorded = files(&fixtures.join("mns"), "response.http")?;
    let bodies = recorded.iter().filter_map(|answer| {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
        let end =
            end.or_else(|| answer.windows(2).position(|window| window == b"\n\n").map(|end| end + 2))?;
        answer.get(end..)
    });
    Ok(bodies.flat_map(|body| (0..REQUESTS).map(move |request| [&[request, 0], body].concat())).collect())
}

/// The content of every file below that folder whose name ends so.
fn files(folder: &Path, ending: &str) -> Result<Vec<Vec<u8>>, String> {
    let unreadable = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
            let path: PathBuf = entry.map_err(|error| unreadable(&folder, error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(&format!(".{ending}")) {
                found.push(fs::read(&path).map_err(|error| unreadable(&path, error))?);
            }
        }
    }
    if found.is_empty() { Err(format!("{} has no file of {ending}", folder.display())) } else { Ok(found) }
}
