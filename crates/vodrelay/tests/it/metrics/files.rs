//! The files of the repository that speak of metrics.

use std::path::{Path, PathBuf};

pub(crate) const RULES: &str = "packaging/prometheus/vodrelay.rules.yml";
pub(crate) const TESTS_OF_RULES: &str = "packaging/prometheus/vodrelay.rules.test.yml";
pub(crate) const DASHBOARD: &str = "packaging/grafana/vodrelay.json";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The sources of every crate of the relay, without their tests' folders.
pub(crate) fn sources() -> String {
    let mut text = String::new();
    for crate_folder in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = crate_folder.unwrap().path();
        if !path.ends_with("mns-emulator") {
            collect(&path.join("src"), &mut text);
        }
    }
    text
}

/// The tests of every crate.
pub(crate) fn tests() -> String {
    let mut text = sources();
    for crate_folder in std::fs::read_dir(root().join("crates")).unwrap() {
        collect(&crate_folder.unwrap().path().join("tests"), &mut text);
    }
    text
}

fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &std::fs::read_to_string(path).unwrap();
        }
    }
}

/// What the rules say under that key, in order: `expr: X` gives X.
pub(crate) fn values_of(text: &str, key: &str) -> Vec<String> {
    let prefix = format!("{key}: ");
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(|value| value.trim_matches('\'').to_owned())
        .collect()
}

/// Every expression of a dashboard, and what its legends name.
pub(crate) fn expressions_of(dashboard: &serde_json::Value, found: &mut Vec<(String, String)>) {
    match dashboard {
        serde_json::Value::Object(members) => {
            if let Some(expression) = members.get("expr").and_then(serde_json::Value::as_str) {
                let legend =
                    members.get("legendFormat").and_then(serde_json::Value::as_str).unwrap_or_default();
                found.push((expression.to_owned(), legend.to_owned()));
            }
            if let Some(query) = members.get("query").and_then(serde_json::Value::as_str)
                && let Some(inner) =
                    query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'))
            {
                let (series, label) = inner.rsplit_once(',').unwrap();
                found.push((series.trim().to_owned(), format!("{{{{{}}}}}", label.trim())));
            }
            members.values().for_each(|member| expressions_of(member, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| expressions_of(item, found)),
        _ => {}
    }
}
