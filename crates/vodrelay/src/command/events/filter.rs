//! Which events are meant: asked of the relay for those that are there, judged here for those that come.

use clap::Args as ClapArgs;
use jiff::Timestamp;
use vod_event::Status;

use super::item::Item;
use crate::command::when;

/// Which events are meant; what is absent lets all through.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct FilterArgs {
    /// Of this EventType
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// With this status, like success or fail
    #[arg(long)]
    status: Option<String>,
    /// Of this video
    #[arg(long, value_name = "ID")]
    video: Option<String>,
    /// Of this job
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// That came from this source first, like callbacks.main
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Whose source has this label; as often as needed
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Received since: a moment in RFC 3339, or how long ago, like 2h
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    since: Option<Timestamp>,
    /// Received before
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    until: Option<Timestamp>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("write a label like region=cn-shanghai")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl FilterArgs {
    /// As a question to the API.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let Self { event_type, status, video, job, source, labels, since, until } = self;
        let moment = |at: &Option<Timestamp>| at.map(|at| at.to_string());
        let parts = [
            ("type", event_type.clone()),
            ("status", status.clone()),
            ("video", video.clone()),
            ("job", job.clone()),
            ("source", source.clone()),
            ("since", moment(since)),
            ("until", moment(until)),
        ];
        let parts = parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        parts.chain(labels.iter().map(|(name, value)| (format!("label.{name}"), value.clone()))).collect()
    }

    /// Whether some are too late to be meant.
    pub(crate) fn has_end(&self) -> bool {
        self.until.is_some()
    }

    /// Whether that event is meant, as the relay would say.
    pub(crate) fn takes(&self, event: &Item) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let status = self.status.as_ref().map(|word| Status::from_word(word).as_str().to_owned());
        is(&self.event_type, &event.event_type)
            && is(&status, &event.status)
            && is(&self.video, &event.video_id)
            && is(&self.job, &event.job_id)
            && is(&self.source, &event.sources.first().cloned())
            && self.labels.iter().all(|(name, value)| event.labels.get(name) == Some(value))
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn check(words: &str, query: &[(&str, &str)], takes: bool) {
        let line = Line::try_parse_from(format!("x {words}").split_whitespace()).unwrap();
        let asked: Vec<(String, String)> = line.filter.query();
        let asked: Vec<(&str, &str)> =
            asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(asked, query, "{words}");
        let item = r#"{"id": "evt_100000000000000000000000000000000", "seq": 7, "received_at": "2026-11-24T10:00:00Z",
            "event_type": "DynamicImageComplete", "status": "success", "video_id": "v", "job_id": "j",
            "sources": ["callbacks.main", "queues.main"], "labels": {"region": "cn"}, "state": "pending",
            "deliveries": [], "unreadable": null}"#;
        assert_eq!(line.filter.takes(&serde_json::from_str(item).unwrap()), takes, "{words}");
    }

    #[test]
    fn what_comes_is_judged_as_the_relay_judges_what_is_there() {
        check("", &[], true);
        check("--type DynamicImageComplete", &[("type", "DynamicImageComplete")], true);
        check("--type FileUploadComplete", &[("type", "FileUploadComplete")], false);
        // A word that the provider uses too.
        check("--status succeed", &[("status", "succeed")], true);
        check("--status fail", &[("status", "fail")], false);
        check("--video v --job j", &[("video", "v"), ("job", "j")], true);
        check("--video w", &[("video", "w")], false);
        check("--source callbacks.main", &[("source", "callbacks.main")], true);
        check("--source queues.main", &[("source", "queues.main")], false);
        check("--label region=cn", &[("label.region", "cn")], true);
        check("--label region=cn --label a=b", &[("label.region", "cn"), ("label.a", "b")], false);
        check("--since 2026-11-24T10:00:00Z", &[("since", "2026-11-24T10:00:00Z")], true);
        check("--until 2026-11-24T10:00:00Z", &[("until", "2026-11-24T10:00:00Z")], false);
        assert!(Line::try_parse_from(["x", "--label", "region"]).is_err());
    }
}
