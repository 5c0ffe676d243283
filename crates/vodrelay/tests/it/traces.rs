//! Traces of a relay as its users run it: a collector gets the spans of an event, linked over a restart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use vodrelay_core::Intake;
use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;
use crate::relay::{
    KEY, Process, callback, client, configuration, free_port, status, until, until_accepted, webhook,
};
use crate::reload::log;

/// What a collector was sent: each span, with the attributes of its resource.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[derive(Clone, Debug)]
struct Span {
    span: Value,
    resource: Value,
}

impl Collector {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let table = format!(
            "\n[traces]\nendpoint = \"http://{}/v1/traces\"\nheaders = {{ authorization = \"Bearer S0123456789\" }}\n",
            listener.local_addr().unwrap()
        );
        let collector = Self::default();
        let router = Router::new().fallback(collect).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, table)
    }

    /// The spans of that name with that value of an attribute, or those of that name where none is wanted.
    fn spans(&self, name: &str, attribute: Option<(&str, &str)>) -> Vec<Span> {
        let all = self.0.lock().unwrap().clone();
        let is_meant = |span: &Span| {
            span.text("name") == name
                && attribute.is_none_or(|(key, value)| span.attribute(key).as_deref() == Some(value))
        };
        all.into_iter().filter(is_meant).collect()
    }

    /// The only one of them, once it is there.
    async fn span(&self, name: &str, attribute: Option<(&str, &str)>) -> Span {
        until(name, Duration::from_secs(30), || !self.spans(name, attribute).is_empty()).await;
        let [span] = <[Span; 1]>::try_from(self.spans(name, attribute)).unwrap();
        span
    }
}

async fn collect(State(collector): State<Collector>, uri: Uri, body: String) -> &'static str {
    assert_eq!(uri.path(), "/v1/traces");
    let body: Value = serde_json::from_str(&body).unwrap();
    for of_resource in body.pointer("/resourceSpans").and_then(Value::as_array).unwrap() {
        let resource = of_resource.pointer("/resource/attributes").unwrap();
        for span in of_resource.pointer("/scopeSpans/0/spans").and_then(Value::as_array).unwrap() {
            let span = Span { span: span.clone(), resource: resource.clone() };
            collector.0.lock().unwrap().push(span);
        }
    }
    "{}"
}

fn attribute_of(attributes: &Value, key: &str) -> Option<String> {
    let found = attributes
        .as_array()
        .unwrap()
        .iter()
        .find(|attribute| attribute.get("key").is_some_and(|found| found == key))?;
    let value = found.pointer("/value/stringValue").or(found.pointer("/value/intValue"));
    Some(value.and_then(Value::as_str).unwrap().to_owned())
}

impl Span {
    fn attribute(&self, key: &str) -> Option<String> {
        attribute_of(self.span.get("attributes").unwrap(), key)
    }

    fn text(&self, key: &str) -> &str {
        self.span.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// Checks what every span must have.
    #[track_caller]
    fn check(&self, kind: i64, failed: bool, since: Timestamp) {
        let is_hex = |text: &str, length| {
            text.len() == length
                && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
                && text.bytes().any(|byte| byte != b'0')
        };
        assert!(is_hex(self.text("traceId"), 32) && is_hex(self.text("spanId"), 16), "{self:?}");
        assert_eq!(self.span.get("kind").and_then(Value::as_i64), Some(kind), "{self:?}");
        let status = self.span.pointer("/status/code").and_then(Value::as_i64);
        assert_eq!(status, failed.then_some(2), "{self:?}");
        assert_eq!(self.attribute("error.type").is_some(), failed, "{self:?}");
        let moment = |key| self.text(key).parse::<i128>().unwrap();
        let (start, end) = (moment("startTimeUnixNano"), moment("endTimeUnixNano"));
        // A start is the moment of opening less what had passed by another clock.
        let slack = 50_000_000;
        assert!(since.as_nanosecond() - slack <= start && start <= end, "{self:?}");
        assert!(end <= Timestamp::now().as_nanosecond() + slack, "{self:?}");
        let of_resource = |key| attribute_of(&self.resource, key);
        assert_eq!(of_resource("service.name").as_deref(), Some("vodrelay"));
        assert_eq!(of_resource("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert!(of_resource("service.instance.id").is_some_and(|instance| !instance.is_empty()));
    }
}

/// One callback with a traceparent.
async fn send(relay: &Process, number: usize, traceparent: &str) {
    let (client, origin) = (client(), format!("http://{}", relay.http));
    let attempt = async || {
        status(callback(&client, &origin, event_body(number), KEY).header("traceparent", traceparent)).await
    };
    until_accepted(attempt).await;
}

const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_restart_is_linked_to_the_callback_that_brought_the_event() {
    let (since, folder) = (Timestamp::now(), tempfile::tempdir().unwrap());
    let (collector, traces) = Collector::start().await;
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    let config = configuration(http, admin) + &webhook(receiver.address) + &traces;
    let mut relay = Process::start_with(folder.path(), &config, http, admin).await;
    // Whoever is not trusted may send what he likes.
    send(&relay, 1, SENT).await;
    let id = Intake::identify(&event_body(1)).to_string();
    let of_event = Some(("vodrelay.event.id", id.as_str()));
    until("an attempt", Duration::from_secs(30), || !collector.spans("deliver hook", of_event).is_empty())
        .await;
    assert_eq!(relay.terminate(), Some(0));

    let append = collector.span("append", of_event).await;
    append.check(1, false, since);
    let callback = collector.span("POST /vod/callback", None).await;
    callback.check(2, false, since);
    assert_eq!(append.text("traceId"), callback.text("traceId"));
    assert_eq!(append.text("parentSpanId"), callback.text("spanId"));
    assert_eq!(callback.text("parentSpanId"), "", "what a stranger says begins no trace");
    assert_ne!(callback.text("traceId"), &SENT[3..35]);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/vod/callback"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("vodrelay.callback", "main"),
    ] {
        assert_eq!(callback.attribute(key).as_deref(), Some(value), "{key}");
    }
    let is_linked = |attempt: &Span| {
        let links = attempt.span["links"].as_array().unwrap();
        assert_eq!(links.len(), 1, "{attempt:?}");
        assert_eq!(links[0]["traceId"], callback.text("traceId"));
        assert_eq!(links[0]["spanId"], callback.text("spanId"));
        assert_ne!(attempt.text("traceId"), callback.text("traceId"));
    };
    let failed = collector.spans("deliver hook", of_event);
    for attempt in &failed {
        attempt.check(3, true, since);
        is_linked(attempt);
        assert_eq!(attempt.attribute("http.response.status_code").as_deref(), Some("503"));
    }

    receiver.answer_with(200);
    let relay = Process::start_with(folder.path(), &config, http, admin).await;
    until("the delivery", Duration::from_secs(30), || receiver.count() == 1).await;
    let delivered = Some(("http.response.status_code", "200"));
    let attempt = collector.span("deliver hook", delivered).await;
    attempt.check(3, false, since);
    is_linked(&attempt);
    let port = receiver.address.port().to_string();
    for (key, value) in [
        ("vodrelay.sink", "hook"),
        ("vodrelay.event.id", id.as_str()),
        ("http.request.method", "POST"),
        ("server.address", "127.0.0.1"),
        ("server.port", port.as_str()),
    ] {
        assert_eq!(attempt.attribute(key).as_deref(), Some(value), "{key}");
    }
    let called = format!("00-{}-{}-01", attempt.text("traceId"), attempt.text("spanId"));
    assert_eq!(receiver.traceparents(), [called]);
    drop(relay);
    assert!(!log(folder.path()).contains("S0123456789"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_where_a_trusted_proxy_says_so_and_rubbish_is_ignored() {
    let (since, folder) = (Timestamp::now(), tempfile::tempdir().unwrap());
    let (collector, traces) = Collector::start().await;
    let (http, admin) = (free_port(), free_port());
    let config =
        configuration(http, admin).replace("[http]", "[http]\ntrusted_proxies = [\"127.0.0.1\"]") + &traces;
    let mut relay = Process::start_with(folder.path(), &config, http, admin).await;
    send(&relay, 1, SENT).await;
    send(&relay, 2, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331").await;
    send(&relay, 3, "a\tb").await;
    send(&relay, 4, &SENT.replace("-01", "-00")).await; // not recorded there, so not here
    assert_eq!(relay.terminate(), Some(0));
    let spans = collector.spans("POST /vod/callback", None);
    assert_eq!(spans.len(), 3, "{spans:?}");
    let (continued, begun): (Vec<Span>, Vec<Span>) =
        spans.into_iter().partition(|span| span.text("traceId") == &SENT[3..35]);
    assert_eq!((continued.len(), begun.len()), (1, 2));
    assert_eq!(continued[0].text("parentSpanId"), &SENT[36..52]);
    for span in begun.iter().chain(&continued) {
        span.check(2, false, since);
    }
    assert!(begun.iter().all(|span| span.text("parentSpanId").is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_up_no_event_and_hardly_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let (http, admin) = (free_port(), free_port());
    let traces = format!("\n[traces]\nendpoint = \"http://{}/v1/traces\"\n", free_port());
    let config = configuration(http, admin) + &webhook(receiver.address) + &traces;
    let mut relay = Process::start_with(folder.path(), &config, http, admin).await;
    for number in 0..20 {
        send(&relay, number, "x").await;
    }
    until("all deliveries", Duration::from_secs(30), || receiver.count() == 20).await;
    assert_eq!(relay.terminate(), Some(0));
    assert!(log(folder.path()).contains("spans were dropped"), "{}", log(folder.path()));
}
