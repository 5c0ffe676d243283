//! Everything that the API does, in one table: the paths are served from it, and the OpenAPI document is made from it.

use axum::Json;
use axum::extract::State;
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use super::{
    audit, drain, events, forget, gaps, images, letters, now, probes, refused, replay, replays, sink_orders,
    sinks, stream,
};
use crate::openapi::schema::{
    cause, count, event_id, event_ids, flag, limit, list, maybe, moment, name, named, nothing, number,
    object, optional, page, seconds, source, state, text, with,
};
use crate::openapi::{self, Operation};
use crate::router::Shared;

const A_NONCE: &str = "1a837bca04c4f17debab042bcffb2153";
const A_SINK: &str = "cms";
const AN_EVENT: &str = "evt_1a837bca04c4f17debab042bcffb2153d";

pub(crate) fn all() -> Vec<Operation> {
    let mut all = of_events();
    all.extend(of_sinks());
    all.extend(of_dead_letters());
    all.extend(of_replays());
    all.extend(of_refusals());
    all.extend(of_the_relay());
    all
}

fn of_events() -> Vec<Operation> {
    let labels = json!({
        "name": "labels", "in": "query", "style": "form", "explode": true,
        "description": "`label.NAME=VALUE`, each at most once: events whose first source has that label.",
        "schema": {
            "type": "object", "propertyNames": {"pattern": "^label\\..+$"}, "additionalProperties": {"type": "string"},
            "maxProperties": 16,
        },
    });
    vec![
        Operation::get("/events", "Events, the last accepted first.", get(events::list))
            .asks("type", "EventType as it came.", text())
            .asks("status", "`success`, `fail`, or another word of the provider.", text())
            .asks("video", "VideoId as it came.", text())
            .asks("job", "JobId as it came.", text())
            .asks("source", "The source that brought it first.", source())
            .asks("state", "How it stands: `pending` and `dead` where at least one delivery is.", state())
            .asks("since", "Received at that moment or later.", moment())
            .asks("until", "Received before that moment.", moment())
            .asks("after", "The `next` of the page before.", number())
            .asks("limit", "How many; more than 1,000 are 1,000.", limit(100))
            .parameter(labels)
            .answers(page("events", named("EventItem"))),
        Operation::get("/events/{id}", "One event whole.", get(events::whole))
            .named("id", event_id(), AN_EVENT)
            .answers(named("EventWhole"))
            .also_fails(&[404]),
        Operation {
            media_type: "application/octet-stream",
            ..Operation::get("/events/{id}/body", "Its bytes as they came.", get(events::body))
                .named("id", event_id(), AN_EVENT)
                .answers(json!({}))
                .also_fails(&[404])
        },
        Operation::get("/events/{id}/images", "What archives have of its images.", get(images::list))
            .named("id", event_id(), AN_EVENT)
            .answers(object(&[("archives", list(named("ArchivedImages")))]))
            .also_fails(&[404]),
        Operation {
            media_type: "image/*",
            ..Operation::get(
                "/events/{id}/images/{n}",
                "An archived image, by its place in the event, as GIF or WebP.",
                get(images::one),
            )
            .named("id", event_id(), AN_EVENT)
            .named("n", number(), 0)
            .answers(json!({}))
            .also_fails(&[404])
        },
        Operation::post("/forget", "Remove what the journal has of a video.", post(forget::video))
            .takes(
                with(
                    optional(&[
                        ("video_id", text()),
                        ("received_before", maybe(moment())),
                        ("dry_run", flag()),
                    ]),
                    &["video_id"],
                ),
                json!({"video_id": "5af3f0a5c5004971a1e9f9bb6b0ea0e4", "dry_run": true}),
            )
            .answers(object(&[
                ("events", count()),
                ("in_hand", count()),
                ("refused", count()),
                ("dry_run", flag()),
            ])),
        Operation {
            media_type: "text/event-stream",
            ..Operation::get("/stream", "What happens, as it happens.", get(stream::open))
                .asks("after", "Accepted events from behind that `seq` on.", number())
                .asks("kinds", "Some of accepted, attempt, settled, refused, sink, between commas.", kinds())
                .parameter(json!({
                    "name": "Last-Event-ID", "in": "header", "description": "As `after`, and before it.",
                    "schema": number(),
                }))
                .answers(text())
        },
    ]
}

fn kinds() -> Value {
    let kind = "(accepted|attempt|settled|refused|sink)";
    json!({"type": "string", "pattern": format!("^{kind}(,{kind})*$")})
}

fn nonce() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
}

fn of_sinks() -> Vec<Operation> {
    let order = |operation: Operation| operation.named("name", name(), A_SINK).also_fails(&[404]);
    vec![
        Operation::get("/sinks", "The sinks, and what waits for each.", get(sinks::list))
            .answers(object(&[("sinks", list(named("Sink")))])),
        order(Operation::post("/sinks/{name}/pause", "Hold a sink.", post(sink_orders::pause)))
            .takes(optional(&[("reason", maybe(text()))]), json!({"reason": "a deployment"}))
            .answers(named("Pause")),
        order(Operation::post("/sinks/{name}/resume", "Let a sink go on.", post(sink_orders::resume)))
            .takes(optional(&[]), json!({}))
            .answers(object(&[("was_paused", flag())])),
        order(Operation::post(
            "/sinks/{name}/retry-now",
            "Have retries due now.",
            post(sink_orders::retry_now),
        ))
        .takes(optional(&[("asked_at", maybe(moment()))]), json!({"asked_at": "2026-11-01T10:00:00Z"}))
        .answers(object(&[
            ("changed", count()),
            ("more", flag()),
            ("probed", flag()),
            ("paused", flag()),
        ])),
        order(Operation::post(
            "/sinks/{name}/rename",
            "Give what a sink had to another.",
            post(sink_orders::rename),
        ))
        .takes(object(&[("to", name())]), json!({"to": "cms_eu"}))
        .answers(named("Step"))
        .also_fails(&[409]),
        order(Operation::post(
            "/sinks/{name}/forget",
            "Give up what waits for a sink.",
            post(sink_orders::forget),
        ))
        .takes(optional(&[]), json!({}))
        .answers(named("Step"))
        .also_fails(&[409]),
    ]
}

fn of_dead_letters() -> Vec<Operation> {
    let purge = optional(&[
        ("filter", named("LetterFilter")),
        ("after", maybe(number())),
        ("limit", maybe(limit(500))),
    ]);
    vec![
        Operation::get("/dead-letters", "Dead letters, in the order of acceptance.", get(letters::list))
            .asks("events", "Of these events; their ids between commas.", event_ids())
            .asks("sink", "Of that sink.", name())
            .asks("event_type", "Of events of that type.", text())
            .asks("reason", "With this in the reason.", text())
            .asks("since", "Given up at that moment or later.", moment())
            .asks("until", "Given up before that moment.", moment())
            .asks("after", "The `next` of the page before.", number())
            .asks("limit", "How many; more than 1,000 are 1,000.", limit(100))
            .asks("whole", "Each with its event and its body.", flag())
            .answers(page("dead_letters", named("DeadLetter"))),
        Operation::post("/dead-letters/purge", "See to dead letters, one step.", post(letters::purge))
            .takes(with(purge, &["filter"]), json!({"filter": {"sink": "cms", "reason": "410"}}))
            .answers(object(&[("purged", count()), ("next", maybe(count()))])),
    ]
}

fn of_replays() -> Vec<Operation> {
    let example = || json!({"what": "dead_letters", "filter": {"sink": "cms"}});
    vec![
        Operation::post("/replay", "Replay, one step.", post(replay::step))
            .takes(named("ReplayRequest"), example())
            .answers(named("Replayed"))
            .also_fails(&[409]),
        Operation::get("/replays", "Replays that go on by themselves, the newest first.", get(replays::list))
            .asks("after", "The `next` of the page before.", number())
            .asks("limit", "How many; more than 1,000 are 1,000.", limit(100))
            .answers(page("replays", named("ReplayJob"))),
        Operation {
            status: 202,
            ..Operation::post("/replays", "Begin a replay that goes on by itself.", post(replays::begin))
                .takes(named("ReplayJobRequest"), example())
                .answers(named("ReplayJob"))
                .also_fails(&[409])
        },
        Operation::get("/replays/{id}", "How a replay stands.", get(replays::one))
            .named("id", number(), 1)
            .answers(named("ReplayJob"))
            .also_fails(&[404]),
        Operation::delete("/replays/{id}", "End a replay after the step in hand.", delete(replays::cancel))
            .named("id", number(), 1)
            .answers(named("ReplayJob"))
            .also_fails(&[404, 409]),
    ]
}

fn of_refusals() -> Vec<Operation> {
    let purge = optional(&[
        ("callback", maybe(name())),
        ("cause", maybe(cause())),
        ("address", maybe(text())),
        ("since", maybe(moment())),
        ("until", maybe(moment())),
        ("dry_run", flag()),
    ]);
    let accept = |stale: Value, off_by: Value, required: &[&str]| {
        let members = optional(&[
            ("callback", name()),
            ("cause", maybe(cause())),
            ("address", maybe(text())),
            ("since", maybe(moment())),
            ("until", maybe(moment())),
            ("stale", stale),
            ("off_by", off_by),
            ("dry_run", flag()),
        ]);
        with(members, required)
    };
    // How far off somebody may be is about those that are stale.
    let accept = json!({"anyOf": [
        accept(flag(), nothing(), &["callback"]),
        accept(json!({"const": true}), maybe(seconds()), &["callback", "stale"]),
    ]});
    vec![
        Operation::get("/refused", "Refused requests that are kept, the newest first.", get(refused::list))
            .asks("callback", "Meant for that callback.", name())
            .asks("cause", "Refused for that.", cause())
            .asks("address", "Sent from there.", text())
            .asks("since", "Received at that moment or later.", moment())
            .asks("until", "Received before that moment.", moment())
            .asks("after", "The `next` of the page before.", number())
            .asks("limit", "How many; more than 1,000 are 1,000.", limit(100))
            .answers(page("refused", named("Refusal"))),
        Operation::get(
            "/refused/{id}",
            "One of them, held against the configuration of today.",
            get(refused::explain),
        )
        .named("id", number(), 1)
        .answers(json!({"type": "object"}))
        .also_fails(&[404]),
        Operation::post("/refused/accept", "Accept what is genuine.", post(refused::accept))
            .takes(accept, json!({"callback": "main", "dry_run": true}))
            .answers(object(&[
                ("accepted", count()),
                ("merged", count()),
                ("left", json!({"type": "object", "additionalProperties": count()})),
                ("stale_off_by_seconds", maybe(seconds())),
                ("dry_run", flag()),
            ]))
            .also_fails(&[409]),
        Operation::post("/refused/purge", "Remove them.", post(refused::purge))
            .takes(purge, json!({"cause": "mismatch", "dry_run": true}))
            .answers(object(&[("purged", count()), ("dry_run", flag())])),
    ]
}

fn of_the_relay() -> Vec<Operation> {
    let since = json!({
        "name": "since", "in": "query", "required": true, "description": "From that moment on.", "schema": moment(),
        "example": "2026-11-01T00:00:00Z",
    });
    let jump = object(&[("from", moment()), ("to", moment())]);
    vec![
        Operation::get("/now", "The last hour minute by minute, and what is kept.", get(now::tell))
            .answers(named("Now")),
        Operation::get("/gaps", "The windows in which events may be missing.", get(gaps::find))
            .parameter(since)
            .asks("until", "Up to that moment, or else now; not before `since`.", moment())
            .answers(object(&[
                ("since", moment()),
                ("until", moment()),
                ("known_since", maybe(moment())),
                ("gaps", list(json!({"type": "object", "required": ["from", "until", "kind"]}))),
                ("clock_set_back", list(jump)),
                ("sources", list(source())),
            ])),
        Operation::post("/drain", "Take nothing more in where that costs no event.", post(drain::set))
            .takes(object(&[("on", flag())]), json!({"on": false}))
            .answers(object(&[("on", flag()), ("was_on", flag())])),
        Operation::post("/probes", "A nonce with which an empty callback is a probe.", post(probes::issue))
            .takes(optional(&[]), json!({}))
            .answers(object(&[("nonce", nonce()), ("lasts_seconds", count())]))
            .also_fails(&[409]),
        Operation::get("/probes/{id}", "How the probe with that nonce came.", get(probes::report))
            .named("id", nonce(), A_NONCE)
            .answers(object(&[("seen", maybe(named("Sighting")))]))
            .also_fails(&[404]),
        Operation::get("/audit", "Who changed what, the newest first.", get(audit::list))
            .asks("after", "The `next` of the page before.", number())
            .asks("limit", "How many; more than 1,000 are 1,000.", limit(100))
            .answers(page("audit", named("Deed"))),
        Operation::get("/openapi.json", "This document.", get(document)).answers(json!({"type": "object"})),
    ]
}

async fn document(State(state): State<Shared>) -> Json<Value> {
    let _ = state;
    Json(openapi::document(&all()))
}
