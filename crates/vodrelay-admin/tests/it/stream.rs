//! What happens, as those hear of it who listen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::{AdminState, router};
use vodrelay_core::feed::{DeliverySettled, Happening};
use vodrelay_core::testing::{MemoryJournal, MockJudge, envelope_of, event_body};
use vodrelay_core::{
    Journal, Ledger, Name, Refusal, RefusalCause, SinkName, SourceName, Standings, SystemClock,
};

use crate::state;

struct Setup {
    journal: Arc<MemoryJournal>,
    standings: Standings,
    draining: Arc<AtomicBool>,
    router: Router,
}

/// A relay that has accepted one event.
async fn setup() -> Setup {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let (standings, draining) = (Standings::default(), Arc::<AtomicBool>::default());
    let told = state(Arc::clone(&journal) as Arc<dyn Ledger>, MockJudge::new());
    let told = AdminState { standings: standings.clone(), draining: Arc::clone(&draining), ..told };
    let setup = Setup { journal, standings, draining, router: router(told) };
    setup.accept(0).await;
    setup
}

fn sink() -> SinkName {
    SinkName::new("cms").unwrap()
}

impl Setup {
    async fn accept(&self, number: usize) {
        let event = envelope_of(event_body(number), "2026-11-01T10:00:00Z".parse().unwrap());
        self.journal.append(&event, &[sink()]).await.unwrap();
    }

    async fn ask(&self, query: &str, last_id: Option<&str>) -> Response {
        let mut request = Request::get(format!("/api/v1/stream{query}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn listen(&self, query: &str, last_id: Option<&str>) -> Listener {
        let response = self.ask(query, last_id).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listener { body: response.into_body(), events: VecDeque::new() }
    }
}

struct Listener {
    body: Body,
    events: VecDeque<(String, Option<u64>, Value)>,
}

impl Listener {
    /// The next event: its kind, its id, its data. Nothing at the end.
    async fn next(&mut self) -> Option<(String, Option<u64>, Value)> {
        while self.events.is_empty() {
            let piece = self.body.frame().await?.unwrap().into_data().unwrap();
            let text = String::from_utf8(piece.to_vec()).unwrap();
            for event in text.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
                let id = field("id: ").map(|id| id.parse().unwrap());
                self.events.push_back((field("event: ").unwrap().to_owned(), id, data));
            }
        }
        self.events.pop_front()
    }

    async fn expect(&mut self, kind: &str, id: Option<u64>) -> Value {
        let (found, found_id, data) = self.next().await.unwrap();
        assert_eq!((found.as_str(), found_id), (kind, id), "{data}");
        data
    }
}

#[tokio::test(start_paused = true)]
async fn accepted_events_come_and_come_again_after_the_last_that_was_seen() {
    let setup = setup().await;
    let mut listener = setup.listen("", None).await;
    assert_eq!(listener.expect("ready", Some(1)).await, json!({"seq": 1}));
    setup.accept(1).await;
    setup.accept(2).await;
    let told = listener.expect("accepted", Some(2)).await;
    assert_eq!(
        (&told["seq"], &told["state"], &told["deliveries"][0]["sink"]),
        (&json!(2), &json!("pending"), &json!("cms"))
    );
    listener.expect("accepted", Some(3)).await;
    drop(listener);
    for number in 3..300 {
        setup.accept(number).await;
    }
    let mut again = setup.listen("", Some("3")).await;
    again.expect("ready", Some(3)).await;
    for seq in 4..=300 {
        again.expect("accepted", Some(seq)).await;
    }
    // What is asked for in the head is newer than what stands in the path; ids of another journal are no reason to wait.
    setup.listen("?after=1", Some("299")).await.expect("ready", Some(299)).await;
    setup.listen("?after=9999", None).await.expect("ready", Some(300)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_nowhere_comes_as_it_happens() {
    let setup = setup().await;
    let mut listener = setup.listen("?kinds=settled,refused,sink", None).await;
    listener.expect("ready", Some(1)).await;
    setup.accept(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let event_id = envelope_of(event_body(1), "2026-11-01T10:00:00Z".parse().unwrap()).id;
    let settled = DeliverySettled { event_id, sink: sink(), state: "delivered", reason: None };
    setup.standings.feed().tell(|| Happening::Settled(settled));
    let told = listener.expect("settled", None).await;
    assert_eq!(told, json!({"event_id": event_id, "sink": "cms", "state": "delivered", "reason": null}));

    setup.journal.pause(&sink(), Some("<b>\n\nevent: x".to_owned())).await.unwrap();
    let told = listener.expect("sink", None).await;
    assert_eq!((&told["sink"], &told["paused"]["reason"]), (&json!("cms"), &json!("<b>\n\nevent: x")));

    let refusal = Refusal {
        source: SourceName::callback(&Name::new("main").unwrap()),
        cause: RefusalCause::Mismatch,
        detail: "in words".to_owned(),
        received_at: "2026-11-01T10:00:00Z".parse().unwrap(),
        address: "192.0.2.1".to_owned(),
        timestamp: None,
        signature: Some("5ec2e7".to_owned()),
        body: event_body(1),
        cut_short: false,
    };
    setup.journal.refuse(vec![refusal]).await.unwrap();
    let told = listener.expect("refused", None).await;
    assert_eq!(told["cause"], "mismatch");
    assert!(!told.to_string().contains("5ec2e7"));
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_told_and_a_stop_ends_it() {
    let setup = setup().await;
    let mut slow = setup.listen("", None).await;
    slow.expect("ready", Some(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let event_id = envelope_of(event_body(1), "2026-11-01T10:00:00Z".parse().unwrap()).id;
    for _ in 0..3_000 {
        let settled = DeliverySettled { event_id, sink: sink(), state: "delivered", reason: None };
        setup.standings.feed().tell(|| Happening::Settled(settled));
    }
    let mut last = None;
    while let Some(event) = slow.next().await {
        last = Some(event);
    }
    let (kind, _, why) = last.unwrap();
    assert_eq!((kind.as_str(), &why["reason"]), ("end", &json!("too_slow")));

    let mut listener = setup.listen("", None).await;
    listener.expect("ready", Some(1)).await;
    setup.draining.store(true, Ordering::Relaxed);
    assert_eq!(listener.expect("end", None).await, json!({"reason": "stopping"}));
    assert!(listener.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn there_are_places_for_sixteen() {
    let setup = setup().await;
    let mut listeners = Vec::new();
    for _ in 0..16 {
        listeners.push(setup.listen("", None).await);
    }
    assert_eq!(setup.ask("", None).await.status(), 503);
    listeners.pop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setup.ask("", None).await.status(), 200);
    assert_eq!(setup.ask("?kinds=all", None).await.status(), 400);
    assert_eq!(setup.ask("?after=-1", None).await.status(), 400);
    assert_eq!(setup.ask("?since=1", None).await.status(), 400);
    assert_eq!(setup.ask("", Some("evt_1")).await.status(), 400);
}
