//! Alerts of a relay as its users run it: one is tried out, and one comes from its cause, without a secret anywhere.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use tokio::net::TcpListener;
use vodrelay_core::testing::event_body;

use crate::cli::vodrelay;
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};
use crate::reload::{log, reload};
use crate::slow_tests_are_asked_for;

/// The robot of a group: what it was sent, and what it answers.
#[derive(Clone, Default)]
struct Robot {
    texts: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
}

impl Robot {
    async fn start(answers: &[&str]) -> (Self, SocketAddr) {
        let answers: VecDeque<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let robot = Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(hear).with_state(robot.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (robot, address)
    }

    fn heard(&self, what: &str) -> bool {
        self.texts.lock().unwrap().iter().any(|text| text.contains(what))
    }
}

async fn hear(State(robot): State<Robot>, uri: Uri, body: String) -> String {
    assert!(uri.to_string().starts_with("/robot/send?access_token=T0123456789&timestamp="), "{uri}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    robot
        .texts
        .lock()
        .unwrap()
        .push(body.pointer("/text/content").and_then(serde_json::Value::as_str).unwrap().to_owned());
    robot.answers.lock().unwrap().pop_front().unwrap_or_else(|| r#"{"errcode":0}"#.to_owned())
}

fn channel(robot: SocketAddr) -> String {
    format!(
        "\n[alerts.ops]\nurl = \"http://{robot}/robot/send?access_token=T0123456789\"\nformat = \"dingtalk\"\n\
         secret = \"SEC0123456789\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_tried_out_and_their_secrets_are_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (robot, address) =
        Robot::start(&[r#"{"errcode":0}"#, r#"{"errcode":310000,"errmsg":"sign of T0123456789 not match"}"#])
            .await;
    let text = configuration(free_port(), free_port()) + &channel(address);
    std::fs::write(folder.path().join("vodrelay.toml"), text).unwrap();
    let check = |words: &[&str], code: i32, says: &str| {
        let output = vodrelay(folder.path(), words, "");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(says), "{words:?} does not say {says:?}: {text}");
        assert!(!text.contains("T0123456789") && !text.contains("SEC0123456789"), "{text}");
    };
    check(&["alerts", "test"], 0, "ops: arrived (a DingTalk robot to http://127.0.0.1:");
    assert!(robot.heard("] this is a test\n"));
    check(&["alerts", "test", "ops", "--json"], 69, "refused it with errcode 310000: sign of *** not match");
    check(&["alerts", "test", "other"], 78, "[alerts.other] is not configured; there are: ops");
    check(&["check", "--offline"], 0, "alerts ops: a DingTalk robot to http://127.0.0.1:");
    check(&["config", "show"], 0, "[alerts.ops]\nformat = \"dingtalk\"\nsecret = \"***\"\nurl = \"***\"");
    assert_eq!(robot.texts.lock().unwrap().len(), 2, "a check tells nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_hear_of_a_crash_of_a_sink_that_is_down_and_of_its_recovery() {
    if !slow_tests_are_asked_for() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ((robot, address), receiver) =
        (Robot::start(&[r#"{"errcode":130101}"#]).await, Receiver::start().await);
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    let without = configuration(http, admin) + &webhook(receiver.address);
    let mut relay = Process::start_with(folder, &without, http, admin).await;
    // The first sign of life has to be on disk.
    accepted(&client(), http, event_body(99)).await;
    relay.kill_9();
    let mut relay = Process::start_with(folder, &without, http, admin).await;
    assert!(reload(&relay, folder, &(without + &channel(address))).await, "{}", log(folder));
    let patience = Duration::from_secs(60);
    until("the alert about the crash", patience, || robot.heard("the relay was not stopped")).await;

    for number in 0..5 {
        accepted(&client(), http, event_body(number)).await;
    }
    until("the alert about the sink", patience, || robot.heard("] sink hook is down\n")).await;
    receiver.answer_with(200);
    until("the end of it", patience, || robot.heard("] sink hook takes deliveries again\n")).await;
    assert_eq!(relay.terminate(), Some(0));
    let log = log(folder);
    assert!(log.contains("an alert could not be told"), "{log}");
    assert!(!log.contains("T0123456789") && !log.contains("SEC0123456789"), "{log}");
}
