//! The filters that name dead letters, and moments as people say them.

use clap::Args as ClapArgs;
use jiff::Timestamp;
use vod_event::EventId;
use vodrelay_core::config::Span;
use vodrelay_core::ledger::LetterFilter;
use vodrelay_core::{Clock, SinkName, SystemClock};

/// Which dead letters are meant.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct FilterArgs {
    /// Only those of this sink
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<SinkName>,
    /// Only of events of this type
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those given up since then, like 2026-11-24T09:00:00Z or 2h
    #[arg(long, value_name = "TIME or SPAN", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
    /// Only those given up before then
    #[arg(long, value_name = "TIME or SPAN", value_parser = moment)]
    until: Option<Timestamp>,
}

impl FilterArgs {
    /// Those of these events, or of any where none is named.
    pub(crate) fn of(&self, events: &[EventId]) -> LetterFilter {
        let Self { sink, event_type, reason, since, until } = self.clone();
        LetterFilter { events: events.to_vec(), sink, event_type, reason, since, until }
    }

    /// Whether nothing but a sink is said, so that every event that was named is looked at.
    pub(crate) fn is_only_sink(&self) -> bool {
        let Self { sink: _, event_type, reason, since, until } = self;
        event_type.is_none() && reason.is_none() && since.is_none() && until.is_none()
    }

    /// The same, with what came until now only: what a command itself causes is never part of it.
    pub(crate) fn until_now(&self, events: &[EventId]) -> LetterFilter {
        let filter = self.of(events);
        LetterFilter { until: filter.until.or(Some(SystemClock.now())), ..filter }
    }
}

/// As a question to the API.
pub(crate) fn as_query(filter: &LetterFilter) -> Vec<(&'static str, String)> {
    let LetterFilter { events, sink, event_type, reason, since, until } = filter;
    let events: Vec<String> = events.iter().map(EventId::to_string).collect();
    let parts = [
        ("events", (!events.is_empty()).then(|| events.join(","))),
        ("sink", sink.as_ref().map(SinkName::to_string)),
        ("event_type", event_type.clone()),
        ("reason", reason.clone()),
        ("since", since.map(|since| since.to_string())),
        ("until", until.map(|until| until.to_string())),
    ];
    parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A moment, or a span before now.
fn moment(text: &str) -> Result<Timestamp, String> {
    moment_seen_at(text, SystemClock.now())
}

fn moment_seen_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let span = Span::parse(text).map_err(|_| {
        "a moment is like 2026-11-24T09:00:00Z, a span before now like 90s, 2h or 7d".to_owned()
    })?;
    now.checked_sub(span.0).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans() {
        let now: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let check = |text: &str, expect: Result<&str, &str>| match (moment_seen_at(text, now), expect) {
            (Ok(moment), Ok(expect)) => assert_eq!(moment.to_string(), expect, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        check("2026-11-23T12:30:00+08:00", Ok("2026-11-23T04:30:00Z"));
        check("2h", Ok("2026-11-24T07:00:00Z"));
        check("90s", Ok("2026-11-24T08:58:30Z"));
        check("yesterday", Err("2h"));
    }
}
