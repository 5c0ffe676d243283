//! `cargo xtask tidy`: what no compiler checks. Layering, module headers, fixtures, the crate list in the documents.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::breaks;
use crate::run::root;

/// The layer of each crate. Arrows point downward only, and no two crates of a layer know each other.
const LAYERS: [(&str, u8); 15] = [
    ("vod-event", 0),
    ("aliyun-credentials", 0),
    ("mns-emulator", 0),
    ("vodrelay-fault-vfs", 0),
    ("mns-client", 1),
    ("vodrelay-tls", 1),
    ("vodrelay-core", 1),
    ("vodrelay-http", 2),
    ("vodrelay-journal", 2),
    ("vodrelay-sinks", 2),
    ("vodrelay-admin", 2),
    ("vodrelay-alerts", 2),
    ("vodrelay-mns", 2),
    ("vodrelay-traces", 2),
    ("vodrelay", 3),
];

/// Our own tools, which may lean on anything and are not published.
const TOOLS: [&str; 3] = ["xtask", "vodrelay-bench", "vodrelay-torture"];

/// Runs every check and lists all that is wrong.
pub(crate) fn tidy() -> Result<(), String> {
    let mut wrong = Vec::new();
    let metadata = metadata()?;
    layering(&metadata, &mut wrong);
    module_headers(&mut wrong);
    fixtures_are_used(&mut wrong);
    crate_lists(&mut wrong);
    tests_of_threats_are_there(&mut wrong);
    wrong.extend(breaks::impossible());
    if wrong.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    Err(format!("{} things to tidy:\n  {}", wrong.len(), wrong.join("\n  ")))
}

/// The crates of these layers.
pub(crate) fn crates_of_layers(layers: &[u8]) -> Result<Vec<String>, String> {
    let known: BTreeMap<&str, u8> = LAYERS.into();
    let packages =
        metadata()?.workspace_packages().iter().map(|package| package.name.to_string()).collect::<Vec<_>>();
    let of_layers = packages
        .into_iter()
        .filter(|name| known.get(name.as_str()).is_some_and(|layer| layers.contains(layer)));
    Ok(of_layers.collect())
}

fn metadata() -> Result<Metadata, String> {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))
}

fn layering(metadata: &Metadata, wrong: &mut Vec<String>) {
    let layers: BTreeMap<&str, u8> = LAYERS.into();
    for package in
        metadata.workspace_packages().iter().filter(|package| !TOOLS.contains(&package.name.as_str()))
    {
        let Some(layer) = layers.get(package.name.as_str()) else {
            wrong.push(format!("{} has no layer: add it to LAYERS in xtask/src/tidy.rs", package.name));
            continue;
        };
        let normal =
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        for dependency in normal {
            if layers.get(dependency.name.as_str()).is_some_and(|below| below >= layer) {
                wrong
                    .push(format!("{} (layer {layer}) must not depend on {}", package.name, dependency.name));
            }
        }
    }
}

fn module_headers(wrong: &mut Vec<String>) {
    for path in files(&root(), &|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!") {
            wrong.push(format!("{} does not open with a `//!` line that says what it is for", shown(&path)));
        }
        if text.lines().any(|line| line.ends_with([' ', '\t'])) {
            wrong.push(format!("{} has blanks at the end of a line", shown(&path)));
        }
    }
}

/// All that is written in Rust.
fn sources() -> String {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    files(&root(), &is_rust).iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// A fixture counts as used when a test names it, its folder, or a folder above that.
fn fixtures_are_used(wrong: &mut Vec<String>) {
    let sources = sources();
    let fixtures = root().join("fixtures");
    for path in files(&fixtures, &|path| path.file_name().is_some_and(|name| name != "README.md")) {
        let relative = path.strip_prefix(root()).unwrap_or(&path);
        let mut above = relative.ancestors().filter(|folder| folder.components().count() >= 2);
        if !above.any(|folder| sources.contains(&folder.display().to_string())) {
            wrong.push(format!("{} is used by no test", relative.display()));
        }
    }
}

/// Each document with a crate table lists each crate, and no other.
fn crate_lists(wrong: &mut Vec<String>) {
    for document in ["README.md", "docs/ARCHITECTURE.md"] {
        let Ok(text) = fs::read_to_string(root().join(document)) else {
            wrong.push(format!("{document} is missing"));
            continue;
        };
        for (name, _) in LAYERS {
            if !text.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{name}`"))) {
                wrong.push(format!("{document} does not list the crate {name} in a table"));
            }
        }
    }
}

/// The tests that the table of threats names in its last column.
fn tests_of_threats_are_there(wrong: &mut Vec<String>) {
    let document = "docs/SECURITY.md";
    let text = fs::read_to_string(root().join(document)).unwrap_or_default();
    let rows = text.lines().skip_while(|line| !line.starts_with("## Threats"));
    let cells =
        rows.filter_map(|row| row.trim_end_matches(['|', ' ']).rsplit_once("| ")).map(|(_, cell)| cell);
    let names: Vec<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| !name.contains(' '))
        .collect();
    if names.is_empty() {
        wrong.push(format!("{document} names no test"));
    }
    let sources = sources();
    for name in names.iter().filter(|name| !sources.contains(&format!("fn {name}("))) {
        wrong.push(format!("{document} names the test {name}, which is not there"));
    }
}

fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()) {
        let skipped =
            path.file_name().is_some_and(|name| name == "target" || name == "node_modules" || name == ".git");
        if path.is_dir() && !skipped {
            found.extend(files(&path, wanted));
        } else if path.is_file() && wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
