//! An event as the relay tells it in lists and in the stream.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use vod_event::EventId;

use crate::exit::{Code, Failure};
use crate::output::table::{Column, Table};

/// An event in a list.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: EventId,
    pub(crate) seq: u64,
    pub(crate) received_at: Timestamp,
    pub(crate) event_type: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) video_id: Option<String>,
    pub(crate) job_id: Option<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: String,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) unreadable: Option<String>,
}

/// Where one of its deliveries stands.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Delivery {
    sink: String,
    state: String,
}

impl Item {
    pub(crate) fn read(json: &RawValue) -> Result<Self, Failure> {
        serde_json::from_str(json.get()).map_err(|error| {
            let message = format!("what the relay says of an event is not of this version: {error}");
            Failure::new(Code::Unreachable, message)
        })
    }

    /// As a row of [`table`].
    pub(crate) fn cells(&self) -> [String; 7] {
        let sinks: Vec<String> =
            self.deliveries.iter().map(|Delivery { sink, state }| format!("{sink} {state}")).collect();
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        [
            format!("{:.0}", self.received_at),
            self.id.to_string(),
            self.unreadable
                .as_ref()
                .map_or_else(|| text(&self.event_type), |why| format!("cannot be read: {why}")),
            text(&self.status),
            self.state.clone(),
            text(&self.video_id),
            if sinks.is_empty() { "-".to_owned() } else { sinks.join(", ") },
        ]
    }

    /// In a line of its own: which event, and of what type.
    pub(crate) fn named(&self) -> String {
        let event_type = self.event_type.as_deref().unwrap_or("an event that cannot be read");
        let status = self.status.as_ref().map(|status| format!(" {status}")).unwrap_or_default();
        let video = self.video_id.as_ref().map(|video| format!(" of video {video}")).unwrap_or_default();
        format!("{} {event_type}{status}{video}", self.id)
    }
}

/// A table of events.
pub(crate) fn table() -> Table {
    Table::new([
        Column::whole("RECEIVED").at_least(20),
        Column::whole("EVENT").at_least(37),
        Column::text("TYPE").at_least(20).may_go(),
        Column::text("STATUS"),
        Column::whole("STATE").at_least(9),
        Column::text("VIDEO").at_least(32).may_go(),
        Column::text("SINKS").may_go(),
    ])
}
