//! Every metric of the relay, in one table: it describes them to Prometheus, `docs/METRICS.md` is made from it, and
//! tests hold scrapes, alert rules and the dashboard against it.
//!
//! Whoever counts names the metric by itself, so that a search finds both; what is not in the table fails a test.

mod table;

use std::fmt::{self, Display, Write};

pub use self::table::{
    OF_SINKS, OF_THE_ARCHIVE, OF_THE_JOURNAL, OF_THE_PROCESS, OF_THE_QUEUES, OF_THE_WAY_IN,
};

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels; each series has all of them.
    pub labels: &'static [Label],
    /// What it says: one sentence.
    pub help: &'static str,
}

/// What Prometheus makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values up to each of a few bounds were seen.
    Histogram,
}

/// A label and what it may be. Neither depends on what events say, so that strangers cannot make more series.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
}

/// What a label may be.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// One of these.
    Words(&'static [&'static str]),
    /// Something that the configuration or the build names.
    Named(&'static str),
}

/// The metrics of the relay, by what they are about.
pub const GROUPS: [(&str, &[Metric]); 6] = [
    ("What comes in", OF_THE_WAY_IN),
    ("Queues", OF_THE_QUEUES),
    ("The journal", OF_THE_JOURNAL),
    ("Sinks", OF_SINKS),
    ("The archive", OF_THE_ARCHIVE),
    ("The process", OF_THE_PROCESS),
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS.iter().flat_map(|(_, metrics)| *metrics)
}

/// The one of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

impl Metric {
    /// What a value is measured in, by the name; nothing where it is a number of things.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit))
    }

    /// Says to the recorder of this thread, or of the process, what it is.
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

impl Label {
    /// Whether it may be that.
    #[must_use]
    pub fn may_be(&self, value: &str) -> bool {
        match self.values {
            Values::Words(words) => words.contains(&value),
            Values::Named(_) => true,
        }
    }
}

/// The tables of `docs/METRICS.md`, as Markdown.
#[must_use]
pub fn tables() -> String {
    let mut text = String::new();
    for (title, metrics) in GROUPS {
        let _ = write!(
            text,
            "## {title}\n\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n"
        );
        for metric in metrics {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
            let Metric { name, kind, help, .. } = metric;
            let (unit, labels) = (metric.unit().unwrap_or("-"), labels.join(", "));
            let labels = if labels.is_empty() { "-" } else { &labels };
            let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
        }
        let labels = metrics.iter().flat_map(|metric| metric.labels.iter().map(move |label| (metric, label)));
        let listed: Vec<_> = labels.filter(|(_, label)| matches!(label.values, Values::Words(_))).collect();
        if !listed.is_empty() {
            text += "\n| label | may be |\n|---|---|\n";
        }
        for (metric, label) in listed {
            if let Values::Words(words) = label.values {
                let _ = writeln!(text, "| `{}` of `{}` | {} |", label.name, metric.name, words.join(", "));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_keep_the_conventions() {
        let names: BTreeSet<&str> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands there twice");
        for Metric { name, kind, labels, help } in all() {
            assert!(name.starts_with("vodrelay_") || name.starts_with("process_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}: a counter ends in _total");
            assert!(
                *kind != Kind::Histogram || name.ends_with("_seconds"),
                "{name}: its buckets are seconds"
            );
            assert!(help.ends_with('.') && !help.contains('|'), "{name}: {help}");
            // OpenMetrics takes _total off, and two families of one name are none.
            let family = name.strip_suffix("_total").unwrap_or(name);
            assert!(family == *name || !names.contains(family), "{name} and {family}");
            for suffix in ["_count", "_sum", "_bucket", "_info"] {
                assert!(!name.ends_with(suffix) || *name == "vodrelay_build_info", "{name}");
            }
            let distinct: BTreeSet<&str> = labels.iter().map(|label| label.name).collect();
            assert_eq!(distinct.len(), labels.len(), "{name}");
        }
    }
}
