//! What a collector is sent: OTLP in its JSON encoding, in which ids are hex digits and numbers of 64 bits are texts.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vodrelay_core::TraceContext;
use vodrelay_core::trace::{SpanRecord, Value};

/// Who sends the spans.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// The version of the relay.
    pub service_version: String,
    /// Which relay it is.
    pub instance: String,
}

/// The flags of a context: recorded, and it is known whether it came from elsewhere, which it did not.
const RECORDED: u32 = 0x101;

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    resource: Json,
    scope: Json,
}

impl Sender {
    pub(crate) fn new(resource: &Resource) -> Self {
        let attributes = [
            attribute("service.name", &"vodrelay".into()),
            attribute("service.version", &resource.service_version.as_str().into()),
            attribute("service.instance.id", &resource.instance.as_str().into()),
            attribute("host.name", &resource.instance.as_str().into()),
        ];
        Self {
            resource: json!({"attributes": attributes}),
            scope: json!({"name": "vodrelay", "version": resource.service_version}),
        }
    }

    /// The body of one request.
    pub(crate) fn body(&self, spans: &[SpanRecord]) -> Vec<u8> {
        let spans: Vec<Json> = spans.iter().map(span).collect();
        let scopes = json!([{"scope": self.scope, "spans": spans}]);
        json!({"resourceSpans": [{"resource": self.resource, "scopeSpans": scopes}]}).to_string().into_bytes()
    }
}

fn span(record: &SpanRecord) -> Json {
    let attributes: Vec<Json> = record.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let links: Vec<Json> = record.links.iter().map(link).collect();
    let ended_at = record.started_at.saturating_add(record.took).unwrap_or(record.started_at);
    let mut span = json!({
        "traceId": record.context.trace_id(),
        "spanId": record.context.span_id(),
        "flags": RECORDED,
        "name": record.name,
        "kind": record.kind as u8,
        "startTimeUnixNano": nanoseconds(record.started_at),
        "endTimeUnixNano": nanoseconds(ended_at),
        "attributes": attributes,
        "links": links,
        // 2 is an error; whether anything else went well is for others to judge.
        "status": if record.failed { json!({"code": 2}) } else { json!({}) },
    });
    if let (Some(parent), Json::Object(members)) = (&record.parent, &mut span) {
        members.insert("parentSpanId".to_owned(), parent.span_id().into());
    }
    span
}

fn link(context: &TraceContext) -> Json {
    json!({"traceId": context.trace_id(), "spanId": context.span_id(), "flags": RECORDED})
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": key, "value": value})
}

fn nanoseconds(moment: Timestamp) -> String {
    let since = Duration::try_from(moment.as_duration()).unwrap_or_default();
    since.as_nanos().to_string()
}

/// How many spans a collector that took a request says it refused all the same.
pub(crate) fn refused(answer: &[u8]) -> u64 {
    let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
    let count = answer.pointer("/partialSuccess/rejectedSpans");
    let as_text = |count: &Json| count.as_str().and_then(|count| count.parse().ok());
    count.and_then(|count| count.as_u64().or_else(|| as_text(count))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use vodrelay_core::SpanKind;

    use super::*;

    #[test]
    fn a_span_is_written_as_the_encoding_wants_it() {
        let context = |number: u8| TraceContext::new([number; 16], [number; 8]).unwrap();
        let record = SpanRecord {
            context: context(0xab),
            parent: Some(context(1)),
            links: vec![context(2)],
            name: "deliver cms".to_owned(),
            kind: SpanKind::Client,
            started_at: Timestamp::from_nanosecond(1_700_000_000_000_000_001).unwrap(),
            took: Duration::from_millis(5),
            attributes: vec![("http.response.status_code", 503_u16.into()), ("vodrelay.sink", "cms".into())],
            failed: true,
        };
        let resource = Resource { service_version: "0.1.0".to_owned(), instance: "relay-1".to_owned() };
        let body: Json = serde_json::from_slice(&Sender::new(&resource).body(&[record])).unwrap();
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let expect = json!({
            "traceId": "abababababababababababababababab", "spanId": "abababababababab",
            "parentSpanId": "0101010101010101", "flags": 257, "name": "deliver cms", "kind": 3,
            "startTimeUnixNano": "1700000000000000001", "endTimeUnixNano": "1700000000005000001",
            "attributes": [{"key": "http.response.status_code", "value": {"intValue": "503"}},
                           {"key": "vodrelay.sink", "value": {"stringValue": "cms"}}],
            "links": [{"traceId": "02020202020202020202020202020202", "spanId": "0202020202020202", "flags": 257}],
            "status": {"code": 2},
        });
        assert_eq!(*span, expect);
        let name = &body["resourceSpans"][0]["resource"]["attributes"][0];
        assert_eq!(*name, json!({"key": "service.name", "value": {"stringValue": "vodrelay"}}));
    }

    #[test]
    fn what_is_refused_of_a_batch_is_counted() {
        let check = |answer: &str, expect: u64| assert_eq!(refused(answer.as_bytes()), expect, "{answer}");
        check("", 0);
        check("{}", 0);
        check(r#"{"partialSuccess":{}}"#, 0);
        check(r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"full"}}"#, 3);
        check(r#"{"partialSuccess":{"rejectedSpans":3}}"#, 3);
    }
}
