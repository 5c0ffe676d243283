//! What is told: one message about one thing, in words and as JSON.

use jiff::Timestamp;
use serde::Serialize;

use crate::kind::Kind;
use crate::words::harmless;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What it is about.
    pub kind: Kind,
    /// The sink, the source, or nothing where there is only one such thing.
    pub subject: Option<String>,
    /// Whether it begins, ends, or happened.
    pub state: State,
    /// The headline.
    pub title: String,
    /// The sentence below it.
    pub what: Option<String>,
    /// When it began, or happened first since the last message.
    pub since: Timestamp,
    /// When this is told.
    pub at: Timestamp,
    /// How often it happened since the last message.
    pub count: u64,
    /// What to do about it.
    pub next: Option<String>,
}

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is wrong, and lasts.
    Firing,
    /// It is well again.
    Resolved,
    /// It happened, once or more.
    Happened,
}

impl Alert {
    /// One by which somebody finds out whether alerts arrive.
    #[must_use]
    pub fn test(now: Timestamp) -> Self {
        Self {
            kind: Kind::Test,
            subject: None,
            state: State::Happened,
            title: "this is a test".to_owned(),
            what: Some("somebody ran vodrelay alerts test; nothing is wrong".to_owned()),
            since: now,
            at: now,
            count: 1,
            next: None,
        }
    }

    /// The lines for people; `relay` says which relay it is.
    #[must_use]
    pub fn text(&self, relay: &str) -> String {
        let mut text = format!("[vodrelay {}] {}", harmless(relay), self.title);
        if let Some(what) = &self.what {
            text = format!("{text}\n{what}");
        }
        let (since, at) = (to_the_second(self.since), to_the_second(self.at));
        match self.state {
            State::Firing | State::Resolved => text = format!("{text}\nsince {since}, told {at}"),
            State::Happened if since == at => text = format!("{text}\nat {at}"),
            State::Happened => text = format!("{text}\nbetween {since} and {at}"),
        }
        if let Some(next) = &self.next {
            text = format!("{text}\nnext: {next}");
        }
        text
    }
}

fn to_the_second(moment: Timestamp) -> Timestamp {
    moment.round(jiff::Unit::Second).unwrap_or(moment)
}

/// The headline of that.
pub(crate) fn title(kind: Kind, state: State, subject: &str, count: u64) -> String {
    let over = state == State::Resolved;
    let again = match (state, count) {
        (State::Happened, _) | (_, 0..=1) => String::new(),
        (_, count) => format!(" ({count} times since the last message)"),
    };
    let said = match (kind, over) {
        (Kind::SinkDown, false) => format!("sink {subject} is down"),
        (Kind::SinkDown, true) => format!("sink {subject} takes deliveries again"),
        (Kind::SinkBehind, false) => format!("sink {subject} is behind"),
        (Kind::SinkBehind, true) => format!("sink {subject} has caught up"),
        (Kind::DeadLetter, _) if subject.is_empty() => format!("{} cannot be read", of(count, "event")),
        (Kind::DeadLetter, _) => format!("sink {subject}: {} given up", of(count, "delivery")),
        (Kind::Refusals, _) => format!("{subject}: {} refused", of(count, "request")),
        (Kind::TurnedAway, _) => format!("{subject}: {} turned away", of(count, "event")),
        (Kind::DiskLow, false) => "the journal's disk runs short of room".to_owned(),
        (Kind::DiskLow, true) => "the journal's disk has room again".to_owned(),
        (Kind::ClockOff, false) => "the clock of this machine is off".to_owned(),
        (Kind::ClockOff, true) => "the clock of this machine is right again".to_owned(),
        (Kind::QueueUnreachable, false) => format!("{subject} is out of reach"),
        (Kind::QueueUnreachable, true) => format!("{subject} answers again"),
        (Kind::SourceSilent, false) => format!("{subject} is silent"),
        (Kind::SourceSilent, true) => format!("{subject} is heard again"),
        (Kind::UncleanStart, _) => "the relay was not stopped, and started again".to_owned(),
        (Kind::Test, _) => "this is a test".to_owned(),
    };
    format!("{said}{again}")
}

fn of(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (count, Some(stem)) => format!("{count} {stem}ies"),
        (count, None) => format!("{count} {what}s"),
    }
}
