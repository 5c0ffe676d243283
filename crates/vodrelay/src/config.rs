//! The configuration: defaults, then the file, then the environment. Each crate owns its part; this nests them.

mod load;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vodrelay_core::config::{ConfigError, Options, Span, Surroundings};
use vodrelay_core::dispatcher::Settings;
use vodrelay_core::retry::RetryPolicy;
use vodrelay_core::routing::{Condition, Filter, OneOrMany};
use vodrelay_core::{Labels, Name, Routes, SinkName, SourceName};

pub use self::load::{Loaded, from_text, load};

/// The whole configuration, as `vodrelay.toml` lays it out.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the journal lives. Relative paths count from the file; without it `$STATE_DIRECTORY`, else `data` beside
    /// the file.
    pub data_dir: Option<PathBuf>,
    /// The callback receiver.
    pub http: vodrelay_http::Config,
    /// The queues.
    pub mns: vodrelay_mns::Config,
    /// The journal.
    pub journal: vodrelay_journal::Config,
    /// The sinks by name.
    pub sinks: BTreeMap<Name, SinkConfig>,
    /// The admin listener.
    pub admin: vodrelay_admin::Config,
    /// Where people are told what is wrong.
    pub alerts: vodrelay_alerts::Config,
    /// Where spans are sent.
    pub traces: vodrelay_traces::Config,
}

/// One `[sinks.NAME]`: what it is, which events it gets, how it is driven.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The kind: `webhook`, `archive`, or what a factory of your own is called.
    pub kind: String,
    /// Deliveries under way at the same time; 16 by default, 4 of an archive.
    pub concurrency: Option<usize>,
    /// The limit around every delivery; 15s by default, 10m of an archive.
    pub timeout: Option<Span>,
    /// When to try again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Event types that it gets; all where absent.
    pub events: Option<OneOrMany>,
    /// `success`, `fail`; all where absent.
    pub status: Option<OneOrMany>,
    /// Sources like `callbacks.main` or `queues.main`; all where absent.
    pub sources: Option<OneOrMany>,
    /// Labels of the source, each with the values that are wanted.
    #[serde(default)]
    pub labels: BTreeMap<String, OneOrMany>,
    /// Fields of the event with what they must be.
    #[serde(default, rename = "where")]
    pub fields: BTreeMap<String, Condition>,
    /// Takes events that match no other sink.
    #[serde(default)]
    pub unmatched: bool,
    /// What the kind wants to know.
    #[serde(default)]
    pub options: serde_json::Value,
}

impl SinkConfig {
    /// How the dispatcher drives this sink.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let seconds = if self.kind == "archive" { 600 } else { 15 };
        Settings {
            concurrency: self.concurrency.unwrap_or(16),
            timeout: self.timeout.unwrap_or(Span(Duration::from_secs(seconds))),
            retry: self.retry,
        }
    }

    /// Which events this sink gets.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter {
            events: self.events.clone(),
            status: self.status.clone(),
            sources: self.sources.clone(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            unmatched: self.unmatched,
        }
    }

    /// The options, with what their secrets and paths are resolved against.
    #[must_use]
    pub fn options(&self, surroundings: &Surroundings) -> Options {
        let table = if self.options.is_null() { serde_json::json!({}) } else { self.options.clone() };
        Options::new(table, surroundings.clone())
    }

    fn check(&self, name: &SinkName, known: &[SourceName]) -> Result<(), ConfigError> {
        let at = |key: &str| format!("sinks.{name}.{key}");
        if self.concurrency == Some(0) {
            return Err(ConfigError::new(at("concurrency"), "0 would deliver nothing; use 1 or more"));
        }
        if self.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
            return Err(ConfigError::new(at("timeout"), "0 would fail every delivery; use for example 15s"));
        }
        for (key, list) in [("events", &self.events), ("status", &self.status), ("sources", &self.sources)] {
            let Some(OneOrMany(words)) = list else { continue };
            if words.is_empty() {
                return Err(ConfigError::new(
                    at(key),
                    "an empty list lets nothing through; leave it out to let all",
                ));
            }
            if let Some(word) = words.iter().find(|word| word.contains(',')) {
                let message =
                    format!("{word:?} is one word with a comma in it; write a list: [\"…\", \"…\"]");
                return Err(ConfigError::new(at(key), message));
            }
        }
        let sources = self.sources.iter().flat_map(|sources| &sources.0);
        let unknown = |source: &&String| known.iter().all(|known| known.as_str() != source.as_str());
        if let Some(source) = sources.into_iter().find(unknown) {
            let known: Vec<&str> = known.iter().map(SourceName::as_str).collect();
            let message = format!("{source:?} is no source; there are: {}", known.join(", "));
            return Err(ConfigError::new(at("sources"), message));
        }
        let words = self.status.iter().flat_map(|status| &status.0);
        if let Some(word) = words.into_iter().find(|word| !["success", "fail"].contains(&word.as_str())) {
            return Err(ConfigError::new(
                at("status"),
                format!("{word:?} is no status: use \"success\", \"fail\" or both"),
            ));
        }
        Ok(())
    }
}

impl Config {
    /// What the fields of each sink must hold beyond their types.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some((source, _)) = self.expected().into_iter().find(|(_, span)| span.is_zero()) {
            let table = if source.as_str().starts_with("queues.") { "mns" } else { "http" };
            let message = "0 would always be over; use for example 6h";
            return Err(ConfigError::new(format!("{table}.{source}.expect_every"), message));
        }
        let known = self.sources();
        self.sinks.iter().try_for_each(|(name, sink)| sink.check(name, &known))
    }

    /// Where events come from.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceName> {
        let callbacks = self.http.callbacks.keys().map(SourceName::callback);
        callbacks.chain(self.mns.queues.keys().map(SourceName::queue)).collect()
    }

    /// How often each source is to be heard of which that is said.
    #[must_use]
    pub fn expected(&self) -> BTreeMap<SourceName, Duration> {
        let callbacks = self.http.callbacks.iter();
        let callbacks = callbacks.map(|(name, callback)| (SourceName::callback(name), callback.expect_every));
        let queues =
            self.mns.queues.iter().map(|(name, queue)| (SourceName::queue(name), queue.expect_every));
        callbacks.chain(queues).filter_map(|(source, span)| Some((source, span?.0))).collect()
    }

    /// The labels of a source, where it is configured.
    #[must_use]
    pub fn labels_of(&self, source: &SourceName) -> Option<&Labels> {
        let mut callbacks = self.http.callbacks.iter();
        let mut queues = self.mns.queues.iter();
        let callback = callbacks.find(|(name, _)| SourceName::callback(name) == *source);
        let queue = queues.find(|(name, _)| SourceName::queue(name) == *source);
        callback.map(|(_, callback)| &callback.labels).or(queue.map(|(_, queue)| &queue.labels))
    }

    /// The source that events come from where nobody says otherwise: the first callback, else the first queue.
    #[must_use]
    pub fn first_source(&self) -> Option<SourceName> {
        self.sources().into_iter().next()
    }

    /// The filters of all sinks.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let filters = self.sinks.iter().map(|(name, sink)| (name.clone(), sink.filter())).collect();
        let sources = self.sources().into_iter();
        let labels =
            sources.filter_map(|source| self.labels_of(&source).cloned().map(|labels| (source, labels)));
        Routes::new(filters).with_labels(labels.collect())
    }
}
