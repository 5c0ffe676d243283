//! A scrape, read as Prometheus reads it, and held against the table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use vodrelay_core::metric::{self, Kind};

use crate::relay::client;

/// The value of each series, by its name and labels as they stand there.
pub(crate) type Series = BTreeMap<String, f64>;

/// Each metric with its series. Those of a histogram are its counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(BTreeMap<&'static str, Series>);

impl Scrape {
    pub(crate) async fn of(admin: SocketAddr) -> Self {
        let answer = client().get(format!("http://{admin}/metrics")).send().await.unwrap();
        Self::read(&answer.text().await.unwrap())
    }

    /// Panics where something is not as the table has it.
    pub(crate) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut kinds = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split_once(' ').unwrap() {
                ("#", rest) => {
                    let words: Vec<&str> = rest.splitn(3, ' ').collect();
                    match words[..] {
                        ["TYPE", name, kind] => drop(kinds.insert(name.to_owned(), kind.to_owned())),
                        ["HELP", name, help] => {
                            assert_eq!(metric::find(name).map(|it| it.help), Some(help), "{name}")
                        }
                        _ => panic!("{line}"),
                    }
                }
                _ => scrape.take(line, &kinds),
            }
        }
        scrape
    }

    fn take(&mut self, line: &str, kinds: &BTreeMap<String, String>) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let is_histogram = |name: &&str| kinds.get(*name).is_some_and(|kind| kind == "histogram");
        let base = family.filter(is_histogram).unwrap_or(name);
        let metric = metric::find(base).unwrap_or_else(|| panic!("{base} is not in the table of metrics"));
        assert_eq!(kinds.get(base), Some(&metric.kind.to_string()), "{base}");
        let labels: BTreeMap<&str, &str> = labels
            .trim_end_matches('}')
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .filter(|(name, _)| *name != "le")
            .collect();
        let expected: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
        assert_eq!(labels.keys().copied().collect::<BTreeSet<_>>(), expected, "{line}");
        for label in metric.labels {
            assert!(
                labels.get(label.name).is_some_and(|value| label.may_be(value)),
                "the table does not know {}: {line}",
                label.name
            );
        }
        if metric.kind != Kind::Histogram || name.ends_with("_count") {
            let series = series.replace("_count", "");
            self.0.entry(metric.name).or_default().insert(series, value.parse().unwrap());
        }
    }

    /// The metrics that are there.
    pub(crate) fn names(&self) -> BTreeSet<&'static str> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn series(&self, name: &str) -> Option<&Series> {
        self.0.get(name)
    }

    /// Whether any series of that metric says something else than it did then.
    pub(crate) fn differs(&self, before: &Self, name: &str) -> bool {
        self.series(name).is_some() && self.series(name) != before.series(name)
    }

    /// The sum of the series of that metric that have all these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let series = self.series(name).into_iter().flatten();
        series
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }
}
