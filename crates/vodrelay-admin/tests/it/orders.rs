//! Dead letters, replays and what people do with sinks, as the API takes and answers it.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;
use vod_event::EventId;
use vodrelay_admin::{AdminState, router};
use vodrelay_core::ledger::{DeadLetter, Erased, LetterFilter, Page, Replayed, Step};
use vodrelay_core::testing::{MockJudge, MockLedger, envelope_of, event_body};
use vodrelay_core::{Pause, SinkBacklog, SinkName};

use crate::state;

fn name(text: &str) -> SinkName {
    SinkName::new(text).unwrap()
}

fn letter(place: u64, sink: &str) -> DeadLetter {
    let received_at = "2024-03-05T09:12:58Z".parse().unwrap();
    DeadLetter {
        place,
        event: envelope_of(event_body(1), received_at).id,
        event_type: Some("DynamicImageComplete".to_owned()),
        video_id: None,
        received_at,
        sink: Some(name(sink)),
        reason: "410 gone".to_owned(),
        given_up_at: received_at,
        attempts: 3,
        replays: 0,
    }
}

/// A ledger with one page of two dead letters, to `cms` and to `gone`, and more behind it.
fn with_letters() -> MockLedger {
    let mut ledger = MockLedger::new();
    let page = || Page { items: vec![letter(4097, "cms"), letter(8194, "gone")], next: Some(8194) };
    ledger.expect_dead_letters().returning(move |_, _, _| Ok(page()));
    ledger
}

async fn send(state: AdminState, request: Request<Body>) -> (u16, Value) {
    let response = router(state).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(ledger: MockLedger, path: &str) -> (u16, Value) {
    send(state(Arc::new(ledger), MockJudge::new()), Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(mut ledger: MockLedger, path: &str, body: &Value) -> (u16, Value) {
    ledger.expect_note_deed().returning(|_| Ok(()));
    let request = Request::post(path).header("content-type", "application/json");
    send(state(Arc::new(ledger), MockJudge::new()), request.body(Body::from(body.to_string())).unwrap()).await
}

/// What is refused, with what the error says.
async fn check_refused(ledger: MockLedger, path: &str, body: &Value, status: u16, says: &str) {
    let (found, answer) = post(ledger, path, body).await;
    let error = answer.get("error").and_then(Value::as_str).unwrap_or_default();
    assert_eq!(found, status, "{path} {body}: {answer}");
    assert!(error.contains(says), "{path} {body}: {answer}");
}

#[tokio::test]
async fn a_question_becomes_a_filter() {
    let mut ledger = MockLedger::new();
    let expected = LetterFilter {
        events: vec![letter(1, "cms").event],
        sink: Some(name("cms")),
        event_type: Some("SnapshotComplete".to_owned()),
        reason: Some("no & yes".to_owned()),
        since: Some("2024-03-05T09:12:58Z".parse().unwrap()),
        until: None,
    };
    let path = format!(
        "/api/v1/dead-letters?events={}&sink=cms&event_type=SnapshotComplete&reason=no+%26+yes&since=2024-03-05T09:12:58Z&after=7&limit=5000",
        letter(1, "cms").event
    );
    ledger
        .expect_dead_letters()
        .withf(move |filter, after, limit| (filter, *after, *limit) == (&expected, Some(7), 1_000))
        .returning(|_, _, _| Ok(Page { items: vec![letter(4097, "cms")], next: None }));
    let (status, body) = get(ledger, &path).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["dead_letters"][0]["sink"], "cms");
    assert_eq!(body["dead_letters"][0]["event_id"], letter(1, "cms").event.to_string());
    assert_eq!(body["next"], Value::Null);
    for wrong in ["limit=many", "sink=NotAName", "since=yesterday", "events=evt_2", "sinks=cms"] {
        let (status, body) = get(MockLedger::new(), &format!("/api/v1/dead-letters?{wrong}")).await;
        assert_eq!(status, 400, "{wrong}: {body}");
        assert!(body["error"].is_string(), "{wrong}: {body}");
    }
}

#[tokio::test]
async fn a_purge_takes_what_the_filter_finds_and_says_where_it_goes_on() {
    let mut ledger = with_letters();
    ledger.expect_purge().withf(|places| *places == [4097, 8194]).once().returning(|_| Ok(2));
    let (status, body) = post(ledger, "/api/v1/dead-letters/purge", &json!({"filter": {}})).await;
    assert_eq!((status, body), (200, json!({"purged": 2, "next": 8194})));

    let purge = "/api/v1/dead-letters/purge";
    check_refused(MockLedger::new(), purge, &json!({}), 422, "filter").await;
    check_refused(MockLedger::new(), purge, &json!({"filter": {"snk": "cms"}}), 422, "snk").await;
    let large = json!({"filter": {"reason": "x".repeat(100_000)}});
    check_refused(MockLedger::new(), purge, &large, 413, "64 KiB").await;
}

#[tokio::test]
async fn a_video_is_forgotten_or_only_counted() {
    let has_one = || {
        let mut ledger = MockLedger::new();
        let event = letter(1, "cms").event;
        ledger
            .expect_events_of_video()
            .withf(|video, _| video.id == "v1")
            .returning(move |_, _| Ok(Page { items: vec![event], next: None }));
        ledger.expect_list_refusals().returning(|_, _, _| Ok(Vec::new()));
        ledger.expect_remove_refusals().returning(|_| Ok(0));
        ledger
    };
    // A mock that is not expected to erase panics when it is.
    let dry_run = json!({"video_id": "v1", "dry_run": true});
    let (status, body) = post(has_one(), "/api/v1/forget", &dry_run).await;
    assert_eq!((status, body), (200, json!({"events": 1, "in_hand": 0, "refused": 0, "dry_run": true})));
    let mut ledger = has_one();
    let erase = |events: Vec<EventId>| Ok(Erased { erased: 0, in_hand: events.len() as u64 });
    ledger.expect_erase().times(2).returning(erase);
    let (_, body) = post(ledger, "/api/v1/forget", &json!({"video_id": "v1"})).await;
    assert_eq!(body, json!({"events": 0, "in_hand": 1, "refused": 0, "dry_run": false}));
    check_refused(MockLedger::new(), "/api/v1/forget", &json!({"video_id": ""}), 422, "no id of a video")
        .await;
    check_refused(MockLedger::new(), "/api/v1/forget", &json!({}), 422, "video_id").await;
}

#[tokio::test]
async fn a_replay_leaves_what_is_not_configured_and_a_dry_run_everything() {
    let request = |dry_run: bool| json!({"what": "dead_letters", "dry_run": dry_run});
    // A mock that is not expected to replay panics when it is.
    let (status, body) = post(with_letters(), "/api/v1/replay", &request(true)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["again"], &body["left"]["not_configured"], &body["next"]),
        (&json!(1), &json!(1), &json!(8194))
    );
    assert_eq!(body["items"][0]["how"], "again");

    let mut ledger = with_letters();
    let is_one = |orders: &Vec<vodrelay_core::ledger::ReplayOrder>| {
        orders.len() == 1 && orders[0].deliveries[0].sink == name("cms")
    };
    ledger
        .expect_replay()
        .withf(is_one)
        .once()
        .returning(|_| Ok(Replayed { again: 1, ..Replayed::default() }));
    let (_, body) = post(ledger, "/api/v1/replay", &request(false)).await;
    assert_eq!(body["again"], 1);

    let replay = "/api/v1/replay";
    check_refused(MockLedger::new(), replay, &json!({"what": "all"}), 422, "unknown variant").await;
    check_refused(MockLedger::new(), replay, &json!({"what": "events"}), 422, "no event is named").await;
    let gone = json!({"what": "sink", "filter": {"sink": "gone"}});
    check_refused(MockLedger::new(), replay, &gone, 409, "sink gone is not configured").await;
    let reason = json!({"what": "unrouted", "filter": {"reason": "410"}});
    check_refused(MockLedger::new(), replay, &reason, 422, "dead letters only").await;
}

#[tokio::test]
async fn sinks_that_nobody_knows_are_404_and_those_that_are_driven_are_409() {
    let knows_gone = || {
        let mut ledger = MockLedger::new();
        ledger.expect_backlogs().returning(|| Ok(vec![SinkBacklog::empty(name("gone"))]));
        ledger
    };
    let nothing = json!({});
    for what in ["pause", "resume", "retry-now", "forget"] {
        let path = format!("/api/v1/sinks/nobody/{what}");
        check_refused(knows_gone(), &path, &nothing, 404, "no sink nobody is configured").await;
    }
    check_refused(MockLedger::new(), "/api/v1/sinks/cms/forget", &nothing, 409, "take [sinks.cms] out").await;
    let to = json!({"to": "cms_eu"});
    check_refused(MockLedger::new(), "/api/v1/sinks/cms/rename", &to, 409, "start the relay again first")
        .await;
    check_refused(knows_gone(), "/api/v1/sinks/gone/rename", &json!({"to": "gone"}), 422, "the same").await;
    let to = json!({"to": "cms_eu"});
    check_refused(knows_gone(), "/api/v1/sinks/nobody/rename", &to, 404, "the journal knows none").await;
    check_refused(knows_gone(), "/api/v1/sinks/gone/rename", &to, 409, "sink cms_eu is not configured").await;
    check_refused(MockLedger::new(), "/api/v1/sinks/gone/rename", &json!({"to": "Gone"}), 422, "not a name")
        .await;
    check_refused(MockLedger::new(), "/api/v1/sinks/No/pause", &nothing, 400, "not a name").await;
}

#[tokio::test]
async fn what_people_do_with_a_sink() {
    let pause =
        Pause { since: "2024-03-05T09:12:58Z".parse().unwrap(), reason: Some("a deployment".to_owned()) };
    let mut ledger = MockLedger::new();
    let paused = pause.clone();
    ledger
        .expect_pause()
        .withf(|sink, reason| *sink == name("cms") && reason.as_deref() == Some("a deployment"))
        .returning(move |_, _| Ok(paused.clone()));
    let (status, body) = post(ledger, "/api/v1/sinks/cms/pause", &json!({"reason": "a deployment"})).await;
    assert_eq!((status, body), (200, json!(pause)));

    let mut ledger = MockLedger::new();
    ledger.expect_resume().returning(|_| Ok(true));
    let (status, body) = post(ledger, "/api/v1/sinks/cms/resume", &json!({})).await;
    assert_eq!((status, body), (200, json!({"was_paused": true})));

    let mut ledger = MockLedger::new();
    ledger
        .expect_retry_now()
        .withf(|_, asked_at, _| *asked_at == "2024-03-05T09:12:58Z".parse().unwrap())
        .returning(|_, _, _| Ok(Step { changed: 500, more: true }));
    let paused = SinkBacklog { paused: Some(pause.clone()), ..SinkBacklog::empty(name("cms")) };
    ledger.expect_backlogs().returning(move || Ok(vec![paused.clone()]));
    let asked = json!({"asked_at": "2024-03-05T09:12:58Z"});
    let (status, body) = post(ledger, "/api/v1/sinks/cms/retry-now", &asked).await;
    assert_eq!((status, body), (200, json!({"changed": 500, "more": true, "probed": false, "paused": true})));

    let mut ledger = MockLedger::new();
    ledger.expect_backlogs().returning(|| Ok(vec![SinkBacklog::empty(name("gone"))]));
    ledger
        .expect_rename()
        .withf(|old, new, _| (old, new) == (&name("gone"), &name("cms")))
        .returning(|_, _, _| Ok(Step { changed: 3, more: false }));
    let (status, body) = post(ledger, "/api/v1/sinks/gone/rename", &json!({"to": "cms"})).await;
    assert_eq!((status, body), (200, json!({"changed": 3, "more": false})));
}

#[tokio::test]
async fn orders_need_the_token() {
    let guarded = || AdminState {
        tokens: [crate::operating("secret")].into_iter().collect(),
        ..state(Arc::new(MockLedger::new()), MockJudge::new())
    };
    for path in ["/api/v1/replay", "/api/v1/dead-letters/purge", "/api/v1/sinks/cms/pause"] {
        let request = Request::post(path).header("content-type", "application/json");
        let (status, _) = send(guarded(), request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(status, 401, "{path}");
    }
}
