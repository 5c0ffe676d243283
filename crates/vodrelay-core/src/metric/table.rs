//! The table. A sentence says what a value means, not what to do about it: that stands in `docs/ALERTS.md`.

use super::{Kind, Label, Metric, Values};
use crate::event_types::EVENT_TYPES_AND_NONE;

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

const fn words(name: &'static str, words: &'static [&'static str]) -> Label {
    Label { name, values: Values::Words(words) }
}

const fn named(name: &'static str) -> Label {
    Label { name, values: Values::Named(name) }
}

const TRANSPORT: Label = words("transport", &["http", "mns"]);
const SOURCE: Label = named("source");
const SINK: Label = named("sink");
const QUEUE: Label = named("queue");

const CAUSES: &[&str] = &["missing", "malformed", "mismatch", "stale", "unreadable"];

/// What sources count.
pub const OF_THE_WAY_IN: &[Metric] = &[
    counter(
        "vodrelay_events_received_total",
        &[
            TRANSPORT,
            words("event_type", &EVENT_TYPES_AND_NONE),
            words(
                "outcome",
                &[
                    "accepted",
                    "duplicate",
                    "unreadable",
                    "unproven",
                    "unknown_path",
                    "method",
                    "slow_body",
                    "broken_body",
                    "too_large",
                    "encoded",
                    "head_too_large",
                    "journal_down",
                    "busy",
                    "probe",
                ],
            ),
        ],
        "Requests and messages, by how they ended.",
    ),
    counter(
        "vodrelay_duplicates_total",
        &[TRANSPORT],
        "Events that the journal had already: tries of the provider, or the same event over another way.",
    ),
    counter(
        "vodrelay_provider_retries_seen_total",
        &[TRANSPORT],
        "Callbacks whose event had come to the same callback less than a minute before, and messages that the queue had handed out before.",
    ),
    counter("vodrelay_events_unrouted_total", &[], "Events accepted that matched no sink."),
    counter("vodrelay_events_unreadable_total", &[], "Bodies accepted that cannot be read as an event."),
    histogram("vodrelay_ack_duration_seconds", &[], "From the first byte of a callback to its 200."),
    counter(
        "vodrelay_ack_over_3s_total",
        &[],
        "Answers that took three seconds or more of the provider's five.",
    ),
    counter(
        "vodrelay_auth_failures_total",
        &[words("reason", CAUSES)],
        "Requests refused for their proof, or because they have none and are no event either.",
    ),
    counter(
        "vodrelay_refusals_total",
        &[words("cause", CAUSES), words("kept", &["yes", "no"])],
        "Refused requests that were handed over for keeping, by whether there was room for them.",
    ),
    gauge(
        "vodrelay_source_last_accepted_timestamp_seconds",
        &[SOURCE],
        "When an event of the source was accepted last, duplicates too; 0 if none was since the start.",
    ),
    gauge(
        "vodrelay_clock_offset_seconds",
        &[SOURCE],
        "How far the clock of this machine is ahead of the provider's, by its last timestamp that was proven or its last answer; good to a second.",
    ),
    gauge(
        "vodrelay_callback_key_last_used_timestamp_seconds",
        &[named("callback"), named("key")],
        "When a callback came last that was signed with the key; 0 if none did since the start.",
    ),
];

/// What queues count.
pub const OF_THE_QUEUES: &[Metric] = &[
    gauge(
        "vodrelay_mns_up",
        &[QUEUE],
        "1 while the queue answers and deletes, else 0; 0 until its first answer, which an empty queue gives after half a minute.",
    ),
    gauge(
        "vodrelay_mns_paused",
        &[QUEUE],
        "1 while the queue is not polled, since the journal takes nothing, else 0.",
    ),
    gauge("vodrelay_mns_pollers", &[QUEUE], "Polls under way."),
    counter(
        "vodrelay_mns_polls_total",
        &[QUEUE, words("outcome", &["messages", "empty", "failed"])],
        "Polls that ended, by what they brought.",
    ),
    counter(
        "vodrelay_mns_receive_empty_total",
        &[QUEUE, words("early", &["yes", "no"])],
        "Polls that brought nothing; early ones ended long before their time, which an account with too many polls sees.",
    ),
    counter(
        "vodrelay_mns_without_handle_total",
        &[QUEUE],
        "Messages that came without a handle, so that nothing could be done with them.",
    ),
    counter(
        "vodrelay_mns_refused_total",
        &[QUEUE],
        "Messages that the journal does not take, today or ever.",
    ),
    counter(
        "vodrelay_mns_md5_mismatches_total",
        &[QUEUE],
        "Messages that do not match the digest that came with them; they are accepted as they are.",
    ),
    counter(
        "vodrelay_mns_lease_renewals_total",
        &[QUEUE, words("outcome", &["renewed", "lost", "failed"])],
        "Messages that were kept invisible for longer, since their append took half of the visibility timeout.",
    ),
    counter(
        "vodrelay_mns_deletions_total",
        &[QUEUE, words("outcome", &["deleted", "gone", "failed"])],
        "Messages that are durable, by what came of deleting them.",
    ),
];

/// What the journal counts.
pub const OF_THE_JOURNAL: &[Metric] = &[
    gauge("vodrelay_journal_writable", &[], "1 while an event would be accepted, else 0."),
    gauge(
        "vodrelay_last_progress_timestamp_seconds",
        &[],
        "When the journal's writer was at work last; it moves each second, also while nothing comes.",
    ),
    counter("vodrelay_journal_events_appended_total", &[], "Events made durable."),
    counter("vodrelay_journal_deliveries_settled_total", &[], "Outcomes of deliveries made durable."),
    histogram("vodrelay_journal_fsync_duration_seconds", &[], "How long a commit took, its sync included."),
    gauge("vodrelay_journal_bytes", &[], "The journal's file."),
    gauge("vodrelay_journal_wal_bytes", &[], "The journal's write-ahead log."),
    gauge("vodrelay_disk_free_bytes", &[], "What is free on the journal's disk for this process."),
    gauge(
        "vodrelay_journal_min_free_bytes",
        &[],
        "journal.min_free: below it the journal sheds what may go, and in the end accepts nothing.",
    ),
    gauge("vodrelay_journal_events", &[], "Events that the journal holds."),
    gauge(
        "vodrelay_journal_oldest_pending_seconds",
        &[],
        "For how long the oldest delivery that is neither done nor given up has waited, of all sinks.",
    ),
    gauge("vodrelay_unrouted_events", &[], "Events held that matched no sink."),
    gauge("vodrelay_unreadable_events", &[], "Events held whose body cannot be read."),
    gauge("vodrelay_refusals_kept", &[], "Refused requests that the journal holds."),
];

/// What sinks count.
pub const OF_SINKS: &[Metric] = &[
    counter(
        "vodrelay_sink_attempts_total",
        &[SINK, words("outcome", &["delivered", "retry", "dead_letter"])],
        "Attempts to deliver, by what came of them.",
    ),
    histogram("vodrelay_sink_attempt_duration_seconds", &[SINK], "How long an attempt took."),
    counter(
        "vodrelay_sink_postponed_total",
        &[SINK],
        "How often a sink put a delivery off, which is no attempt, like an archive whose fetches are all taken.",
    ),
    histogram(
        "vodrelay_delivery_age_seconds",
        &[SINK],
        "From the acceptance of an event to the attempt that delivered it; replays do not count.",
    ),
    gauge("vodrelay_sink_pending", &[SINK], "Deliveries that are neither done nor given up."),
    gauge(
        "vodrelay_sink_oldest_pending_seconds",
        &[SINK],
        "For how long the oldest pending delivery has waited.",
    ),
    gauge(
        "vodrelay_retry_overdue_seconds",
        &[SINK],
        "For how long the retry that is due first has been due; 0 where none is.",
    ),
    gauge("vodrelay_breaker_state", &[SINK], "1 while the sink fails and is only probed, else 0."),
    gauge(
        "vodrelay_sink_paused",
        &[SINK],
        "1 while somebody has the sink paused, else 0; over restarts too.",
    ),
    counter("vodrelay_dead_letters_total", &[SINK], "Deliveries given up since the start."),
    gauge(
        "vodrelay_sink_dead_letters",
        &[SINK],
        "Deliveries given up, until somebody replays or purges them.",
    ),
    gauge("vodrelay_orphaned_deliveries", &[SINK], "Deliveries that wait for a sink that is not configured."),
];

/// What archives count.
pub const OF_THE_ARCHIVE: &[Metric] = &[
    counter(
        "vodrelay_archive_images_total",
        &[
            SINK,
            words("state", &["kept", "linked", "failed"]),
            words(
                "cause",
                &[
                    "none",
                    "unsignable",
                    "address",
                    "redirect",
                    "unreachable",
                    "garbled",
                    "denied",
                    "missing",
                    "gone",
                    "status",
                    "encoded",
                    "stalled",
                    "slow",
                    "too_large",
                    "cut_short",
                    "foreign",
                    "mismatch",
                    "occupied",
                ],
            ),
        ],
        "Images, by what came of each attempt; a failure has the cause that ARCHIVE.md explains.",
    ),
    counter("vodrelay_archive_bytes_total", &[SINK], "Bytes of the images that were fetched and kept."),
    histogram(
        "vodrelay_archive_fetch_duration_seconds",
        &[SINK],
        "How long it took to fetch an image and to keep it, or to fail.",
    ),
];

/// What the process counts. Those of `process_` are there on Linux alone.
pub const OF_THE_PROCESS: &[Metric] = &[
    gauge("vodrelay_build_info", &[named("version")], "Which vodrelay this is; always 1."),
    gauge(
        "vodrelay_config_reload_timestamp_seconds",
        &[],
        "When the configuration that is in force was taken, at the start or by a reload.",
    ),
    gauge(
        "vodrelay_config_last_reload_successful",
        &[],
        "1 if the last reload was taken, or none was asked for; 0 if it was refused.",
    ),
    counter(
        "vodrelay_alerts_total",
        &[named("alert"), words("outcome", &["sent", "failed", "dropped"])],
        "Messages to people, by what came of them; a failure is one attempt.",
    ),
    counter(
        "vodrelay_spans_dropped_total",
        &[words("reason", &["queue", "export", "rejected"])],
        "Spans that no collector has: more waited than may, it did not take them, or it refused them.",
    ),
    counter("process_cpu_seconds_total", &[], "Time that the processors spent on this process."),
    gauge("process_resident_memory_bytes", &[], "Memory that this process has in use."),
    gauge("process_virtual_memory_bytes", &[], "Addresses that this process has mapped."),
    gauge("process_open_fds", &[], "Files and sockets that this process has open."),
    gauge("process_max_fds", &[], "How many it may have open."),
    gauge("process_start_time_seconds", &[], "When this process was started."),
];
