//! What goes in and out, as JSON Schema. That it is true is tested: what the API answers is held against it, and an object
//! has no member that does not stand here.

use serde_json::{Map, Value, json};

/// The object with one member more.
pub(crate) fn plus(object: Value, name: &str, value: Value) -> Value {
    let Value::Object(mut members) = object else { return object };
    members.insert(name.to_owned(), value);
    Value::Object(members)
}

/// An object with exactly these members.
pub(crate) fn object(members: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    plus(optional(members), "required", json!(names))
}

/// An object with no members but these.
pub(crate) fn optional(members: &[(&str, Value)]) -> Value {
    let members: Map<String, Value> =
        members.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": members, "additionalProperties": false})
}

/// The object, of which these members have to be there.
pub(crate) fn with(object: Value, required: &[&str]) -> Value {
    plus(object, "required", json!(required))
}

pub(crate) fn named(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

pub(crate) fn maybe(schema: Value) -> Value {
    plus(json!({}), "anyOf", Value::Array(vec![schema, json!({"type": "null"})]))
}

pub(crate) fn list(of: Value) -> Value {
    plus(json!({"type": "array"}), "items", of)
}

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

pub(crate) fn flag() -> Value {
    json!({"type": "boolean"})
}

pub(crate) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub(crate) fn moment() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(crate) fn event_id() -> Value {
    json!({"type": "string", "pattern": "^evt_1[0-9a-f]{32}$"})
}

pub(crate) fn name() -> Value {
    json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(_[a-z0-9]+)*$", "maxLength": 64})
}

/// The name behind the dot has at most 64 bytes.
pub(crate) fn source() -> Value {
    let of = |kind: &str| {
        let pattern = format!("^{kind}\\.[a-z][a-z0-9]*(_[a-z0-9]+)*$");
        json!({"type": "string", "pattern": pattern, "maxLength": kind.len() + 1 + 64})
    };
    json!({"anyOf": [of("callbacks"), of("queues")]})
}

/// A number by which the journal names something, and behind which a list goes on.
pub(crate) fn number() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": i64::MAX})
}

/// How many at once; so many where nobody says.
pub(crate) fn limit(usual: u16) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": i64::MAX, "default": usual})
}

/// The two ends of a window, in seconds.
pub(crate) fn seconds() -> Value {
    let second = json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX});
    json!({"type": "array", "items": second, "minItems": 2, "maxItems": 2})
}

/// Some event ids between commas.
pub(crate) fn event_ids() -> Value {
    json!({"type": "string", "pattern": "^(evt_1[0-9a-f]{32}(,evt_1[0-9a-f]{32})*)?$"})
}

pub(crate) fn state() -> Value {
    one_of(&["pending", "delivered", "dead", "purged", "unrouted", "unreadable"])
}

/// A page of a list.
pub(crate) fn page(name: &str, of: Value) -> Value {
    object(&[(name, list(of)), ("next", maybe(count()))])
}

pub(crate) fn delivery_state() -> Value {
    one_of(&["waiting", "retry", "delivered", "dead_letter", "purged"])
}

fn labels() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn status() -> Value {
    maybe(json!({"type": "integer", "minimum": 0, "maximum": 65_535}))
}

fn milliseconds() -> Value {
    maybe(json!({"type": "number", "minimum": 0}))
}

/// The schemas that have a name.
pub(crate) fn components() -> Value {
    json!({
        "Problem": object(&[("error", text())]),
        "Event": event(),
        "EventItem": object(&[
            ("id", event_id()), ("seq", count()), ("received_at", moment()), ("event_type", maybe(text())),
            ("status", maybe(text())), ("event_time", maybe(moment())), ("video_id", maybe(text())),
            ("media_id", maybe(text())), ("job_id", maybe(text())), ("sources", list(source())), ("labels", labels()),
            ("state", state()), ("deliveries", list(object(&[("sink", name()), ("state", delivery_state())]))),
            ("doubts", maybe(count())), ("unreadable", maybe(text())),
        ]),
        "EventWhole": object(&[
            ("id", event_id()), ("seq", count()), ("received_at", moment()), ("state", state()), ("source", source()),
            ("labels", labels()),
            ("repeats", list(object(&[("source", source()), ("first_at", moment()), ("count", count())]))),
            ("bytes", count()), ("sha256", text()), ("is_intact", flag()), ("event", maybe(named("Event"))),
            ("unreadable", maybe(text())), ("deliveries", list(named("Delivery"))),
            ("routing", maybe(list(object(&[("sink", name()), ("takes", flag()), ("why", text())])))),
        ]),
        "Delivery": object(&[
            ("sink", name()), ("place", count()), ("state", delivery_state()), ("attempts", count()),
            ("replays", count()), ("next_attempt_at", maybe(moment())), ("first_attempt_at", maybe(moment())),
            ("last_attempt_at", maybe(moment())), ("settled_at", maybe(moment())), ("status", status()),
            ("took_ms", maybe(count())), ("reason", maybe(text())), ("failed_attempts", list(named("Attempt"))),
        ]),
        "Attempt": object(&[
            ("number", count()), ("started_at", moment()), ("took_ms", count()), ("status", status()), ("note", text()),
        ]),
        "Sink": object(&[
            ("sink", name()), ("pending", count()), ("dead_letters", count()), ("delivered", count()),
            ("oldest_pending_at", maybe(moment())), ("paused", maybe(named("Pause"))), ("configured", flag()),
            ("breaker", maybe(json!({"anyOf": [
                object(&[("state", json!({"const": "closed"}))]),
                object(&[("state", json!({"const": "open"})), ("since", moment())]),
            ]}))),
        ]),
        "Pause": object(&[("since", moment()), ("reason", maybe(text()))]),
        "Step": object(&[("changed", count()), ("more", flag())]),
        "DeadLetter": {"type": "object", "properties": {
            "place": count(), "event_id": event_id(), "event_type": maybe(text()), "video_id": maybe(text()),
            "received_at": moment(), "sink": maybe(name()), "reason": text(), "given_up_at": moment(),
            "attempts": count(), "replays": count(), "source": source(), "failed_attempts": list(named("Attempt")),
            "event": maybe(named("Event")), "unreadable": maybe(text()), "sha256": text(),
            "body_encoding": one_of(&["utf-8", "base64"]), "body": text(),
        }, "additionalProperties": false, "required": [
            "place", "event_id", "event_type", "video_id", "received_at", "sink", "reason", "given_up_at", "attempts",
            "replays",
        ]},
        "LetterFilter": filter(list(event_id()), maybe(name()), maybe(text())),
        "Left": object(&[
            ("pending", count()), ("delivered", count()), ("purged", count()), ("not_configured", count()),
            ("unmatched", count()), ("unreadable", count()),
        ]),
        "Replayed": object(&[
            ("again", count()), ("added", count()), ("read", count()), ("left", named("Left")), ("looked_at", count()),
            ("items", list(object(&[
                ("event_id", event_id()), ("sink", maybe(name())), ("how", one_of(&["again", "added", "read"])),
            ]))),
            ("next", maybe(count())),
        ]),
        "ReplayRequest": replay(&maybe(number()), &maybe(limit(500))),
        "ReplayJobRequest": replay(&nothing(), &nothing()),
        "ReplayJob": object(&[
            ("id", count()), ("state", one_of(&["running", "done", "cancelled", "failed", "interrupted"])),
            ("request", named("ReplayJobRequest")), ("asked_at", moment()), ("token", maybe(name())),
            ("ended_at", maybe(moment())), ("again", count()), ("added", count()), ("read", count()),
            ("left", named("Left")), ("looked_at", count()), ("error", maybe(text())),
        ]),
        "Refusal": object(&[
            ("id", count()), ("received_at", moment()), ("source", source()), ("cause", cause()), ("address", text()),
            ("bytes", count()), ("cut_short", flag()),
        ]),
        "ArchivedImages": object(&[
            ("sink", name()), ("error", maybe(text())), ("images", list(object(&[
                ("state", text()), ("reason", maybe(text())), ("bytes", maybe(count())),
                ("doubts", list(list(text()))),
            ]))),
        ]),
        "Now": object(&[
            ("now", moment()), ("version", text()), ("minutes", list(named("Minute"))),
            ("refused", json!({"type": "object", "additionalProperties": count()})), ("ack_p50_ms", milliseconds()),
            ("ack_p99_ms", milliseconds()), ("archives", list(name())), ("drained", flag()),
            ("totals", object(&[
                ("events", count()), ("duplicates", count()), ("unrouted", count()), ("unreadable", count()),
                ("refusals", count()),
            ])),
            ("you", object(&[("token", maybe(name())), ("role", one_of(&["read", "operate"]))])),
        ]),
        "Minute": object(&[
            ("at", moment()), ("accepted", count()), ("repeated", count()), ("refused", count()),
            ("turned_away", count()), ("delivered", count()), ("failed", count()), ("ack_p50_ms", milliseconds()),
            ("ack_p99_ms", milliseconds()),
        ]),
        "Sighting": object(&[
            ("at", moment()), ("source", source()), ("address", text()),
            ("outcome", one_of(&["proven", "unsigned", "missing", "malformed", "mismatch", "stale"])),
        ]),
        "Deed": object(&[
            ("id", count()), ("at", moment()), ("token", maybe(name())), ("address", maybe(text())), ("action", text()),
            ("request", json!({})), ("status", count()), ("result", json!({})),
        ]),
    })
}

/// The schema of an event, which is a document of its own, as a part of this one.
fn event() -> Value {
    let text = vod_event::EVENT_SCHEMA.replace("#/$defs/", "#/components/schemas/Event/$defs/");
    let mut event: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    event.retain(|name, _| name != "$id" && name != "$schema");
    Value::Object(event)
}

pub(crate) fn cause() -> Value {
    one_of(&["missing", "malformed", "mismatch", "stale", "unreadable"])
}

pub(crate) fn nothing() -> Value {
    json!({"type": "null"})
}

fn filter(events: Value, sink: Value, reason: Value) -> Value {
    optional(&[
        ("events", events),
        ("sink", sink),
        ("event_type", maybe(text())),
        ("reason", reason),
        ("since", maybe(moment())),
        ("until", maybe(moment())),
    ])
}

/// What each kind of replay has to be told, and what it cannot be.
fn replay(after: &Value, limit: &Value) -> Value {
    let some_events = plus(list(event_id()), "minItems", json!(1));
    let kind = |what: &[&str], filter: Value, required: &[&str]| {
        let request = optional(&[
            ("what", one_of(what)),
            ("filter", filter),
            ("all", flag()),
            ("dry_run", flag()),
            ("after", after.clone()),
            ("limit", limit.clone()),
        ]);
        with(request, required)
    };
    json!({"anyOf": [
        kind(&["dead_letters"], named("LetterFilter"), &["what"]),
        kind(&["unreadable", "unrouted"], filter(list(event_id()), maybe(name()), nothing()), &["what"]),
        kind(&["events"], with(filter(some_events, maybe(name()), nothing()), &["events"]), &["what", "filter"]),
        kind(&["sink"], with(filter(list(event_id()), name(), nothing()), &["sink"]), &["what", "filter"]),
    ]})
}
