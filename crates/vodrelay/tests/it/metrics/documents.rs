//! Documents, alert rules and the dashboard name metrics and labels that exist, and sources none beside them.

use std::collections::BTreeSet;

use vodrelay_core::metric::{self, Kind, Metric};

use super::files::{DASHBOARD, RULES, TESTS_OF_RULES, expressions_of, read, sources, tests, values_of};
use super::moving::ELSEWHERE;

/// What a scrape adds to each series.
const OF_TARGETS: [&str; 2] = ["job", "instance"];

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character: char| !is_part(character));
    words.filter(|word| word.starts_with("vodrelay_") || word.starts_with("process_")).collect()
}

fn metric_of(name: &str) -> Option<&'static Metric> {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    metric::find(name)
        .or_else(|| of_histogram.and_then(metric::find).filter(|metric| metric.kind == Kind::Histogram))
}

/// What is wrong with an expression of PromQL.
fn faults(expression: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = OF_TARGETS.into();
    let mut rest = expression;
    while let Some((name, after)) = next_word(rest) {
        rest = after;
        if name.starts_with("vodrelay_") || name.starts_with("process_") {
            let Some(metric) = metric_of(name) else {
                faults.push(format!("no metric {name}"));
                continue;
            };
            known.extend(metric.labels.iter().map(|label| label.name));
            known.extend((metric.kind == Kind::Histogram).then_some("le"));
            if let Some((matchers, after)) = after.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                rest = after;
                faults.extend(matchers_of(matchers).into_iter().filter_map(|matcher| fault(metric, matcher)));
            }
        }
    }
    let mut rest = expression;
    while let Some((word, after)) = next_word(rest) {
        rest = after;
        let names_labels = ["by", "on", "ignoring", "without", "group_left", "group_right"].contains(&word);
        if names_labels && let Some(list) = after.trim_start().strip_prefix('(') {
            let labels =
                list.split_once(')').unwrap().0.split(',').map(str::trim).filter(|label| !label.is_empty());
            faults.extend(
                labels.filter(|label| !known.contains(label)).map(|label| format!("no label {label}")),
            );
        }
    }
    faults
}

/// The next word outside of quotes, and what is behind it.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut rest = text;
    loop {
        let start = rest.find(|character: char| is_part(character) || character == '"')?;
        rest = &rest[start..];
        let Some(quoted) = rest.strip_prefix('"') else { break };
        rest = &quoted[quoted.find('"')? + 1..];
    }
    Some(rest.split_at(rest.find(|character: char| !is_part(character)).unwrap_or(rest.len())))
}

/// The label and the value of each matcher.
fn matchers_of(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((label, after)) = rest.split_once(['=', '!']) {
        let (_, value) = after.split_once('"').unwrap();
        let (value, after) = value.split_once('"').unwrap();
        found.push((label.trim_start_matches([',', ' ']).trim(), value));
        rest = after;
    }
    found
}

fn fault(metric: &Metric, (name, value): (&str, &str)) -> Option<String> {
    if OF_TARGETS.contains(&name) {
        return None;
    }
    let Some(label) = metric.labels.iter().find(|label| label.name == name) else {
        return Some(format!("{} has no label {name}", metric.name));
    };
    let mut values = value.split('|').filter(|value| !value.starts_with('$'));
    let wrong = values.find(|value| !label.may_be(value))?;
    Some(format!("{name} of {} is never {wrong}", metric.name))
}

#[test]
fn what_is_wrong_with_an_expression_is_found() {
    let check = |expression: &str, expect: &[&str]| assert_eq!(faults(expression), expect, "{expression}");
    check(r#"sum by (sink) (rate(vodrelay_sink_attempts_total{outcome=~"retry|dead_letter"}[5m])) > 0"#, &[]);
    check("time() - vodrelay_last_progress_timestamp_seconds > 60", &[]);
    check(
        "histogram_quantile(0.99, sum by (le, sink) (rate(vodrelay_delivery_age_seconds_bucket[5m])))",
        &[],
    );
    check("vodrelay_nothing > 0", &["no metric vodrelay_nothing"]);
    check("vodrelay_sink_pending_count", &["no metric vodrelay_sink_pending_count"]);
    check(r#"vodrelay_mns_up{sink="a"}"#, &["vodrelay_mns_up has no label sink"]);
    check(
        r#"vodrelay_sink_attempts_total{outcome="lost"}"#,
        &["outcome of vodrelay_sink_attempts_total is never lost"],
    );
    check("sum by (queue) (vodrelay_sink_pending)", &["no label queue"]);
    check(r#"vodrelay_mns_up{queue=~"$queue"} == 1 and on (instance, job) process_open_fds"#, &[]);
}

#[test]
fn rules_and_dashboard_name_metrics_and_labels_that_exist() {
    let rules = values_of(&read(RULES), "expr");
    assert!(rules.len() > 20, "{rules:?}");
    for expression in &rules {
        assert_eq!(faults(expression), Vec::<String>::new(), "{expression}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut expressions = Vec::new();
    expressions_of(&dashboard, &mut expressions);
    assert!(expressions.len() > 30);
    for (expression, legend) in expressions {
        assert_eq!(faults(&expression), Vec::<String>::new(), "{expression}");
        let labels = legend.split("{{").skip(1).map(|rest| rest.split_once("}}").unwrap().0.trim());
        let named = named(&expression).into_iter().filter_map(metric_of);
        let known: BTreeSet<&str> =
            named.flat_map(|metric| metric.labels.iter().map(|label| label.name)).collect();
        for label in labels {
            assert!(known.contains(label) || OF_TARGETS.contains(&label), "{label}: {expression}");
        }
    }
}

#[test]
fn sources_count_what_is_in_the_table_and_nothing_else() {
    let text = sources();
    let quoted: BTreeSet<&str> = text.split('"').filter(|word| named(word).first() == Some(word)).collect();
    let crates = ["core", "http", "mns", "journal", "sinks", "admin", "tls", "fault_vfs"];
    let is_a_crate = |name: &str| crates.iter().any(|krate| name == format!("vodrelay_{krate}"));
    let unknown: Vec<&&str> = quoted
        .iter()
        .filter(|name| metric::find(name).is_none() && !is_a_crate(name) && !name.ends_with('_'))
        .collect();
    assert!(unknown.is_empty(), "add these to vodrelay-core/src/metric/table.rs: {unknown:?}");
    let once = |name: &str| text.matches(&format!("\"{name}\"")).count() < 2;
    let never: Vec<&str> = metric::all().map(|metric| metric.name).filter(|name| once(name)).collect();
    assert!(never.is_empty(), "nothing counts these: {never:?}");
    let tests = tests();
    for (metric, test) in ELSEWHERE {
        assert!(metric::find(metric).is_some() && tests.contains(&format!("fn {test}(")), "{metric}: {test}");
    }
}

#[test]
fn the_list_of_metrics_is_that_of_the_table() {
    let document = read("docs/METRICS.md");
    let tables = metric::tables();
    let listed = document.find("## What comes in").map(|at| &document[at..]);
    let listed = listed.map(|listed| listed.split_once("\n## How to ").map_or(listed, |(listed, _)| listed));
    if listed.map(str::trim) != Some(tables.trim()) {
        let fresh = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("METRICS.md");
        std::fs::write(&fresh, &tables).unwrap();
        panic!("docs/METRICS.md is not what the table says; what it says is in {}", fresh.display());
    }
    for document in [
        "docs/OPERATIONS.md",
        "docs/ALERTS.md",
        "docs/ARCHIVE.md",
        "docs/TRANSPORTS.md",
        "docs/IN-FRONT-OF-YOUR-HANDLER.md",
    ] {
        let text = read(document);
        // The package's file has a name of this kind too.
        let names =
            named(&text).into_iter().filter(|name| !name.starts_with("vodrelay_0") && *name != "vodrelay_");
        for name in names.filter(|name| !["vodrelay_http", "process_"].contains(name)) {
            assert!(metric_of(name).is_some(), "{document} speaks of {name}");
        }
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[test]
fn each_alert_is_explained_and_tested_both_ways() {
    let (rules, tests) = (read(RULES), read(TESTS_OF_RULES));
    let alerts = values_of(&rules, "alert");
    assert_eq!(alerts.iter().collect::<BTreeSet<_>>().len(), alerts.len(), "an alert stands there twice");
    for key in ["severity", "summary", "description", "runbook"] {
        assert_eq!(values_of(&rules, key).len(), alerts.len(), "each alert has one {key}");
    }
    for severity in values_of(&rules, "severity") {
        assert!(["critical", "warning", "info"].contains(&severity.as_str()), "{severity}");
    }
    let document = read("docs/ALERTS.md");
    let headings: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings, alerts, "docs/ALERTS.md explains the alerts of the rules, in their order");
    for (alert, runbook) in alerts.iter().zip(values_of(&rules, "runbook")) {
        assert!(runbook.ends_with(&format!("docs/ALERTS.md#{}", anchor(alert))), "{alert}: {runbook}");
        let cases: Vec<&str> = tests
            .split("alertname: ")
            .skip(1)
            .filter(|case| case.lines().next() == Some(alert.as_str()))
            .collect();
        let silent = cases
            .iter()
            .filter(|case| case.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts: []"));
        let (all, silent) = (cases.len(), silent.count());
        assert!(
            silent > 0 && all > silent,
            "{alert} has to fire in one test and be silent in another: {all}, {silent}"
        );
    }
    for section in document.split("\n### ").skip(1) {
        let name = section.lines().next().unwrap();
        for part in ["**Means**", "**Look at**", "**Do**"] {
            assert!(section.contains(part), "{name} lacks {part}");
        }
    }
}
