//! What other processes ask of the emulator itself.

use mns_emulator::{Fault, Settings};
use serde_json::{Value, json};

use crate::wire::{MESSAGES, Wire, emulator, message};

#[tokio::test]
async fn ledger_faults_clock_and_messages_can_be_reached_without_a_signature() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    wire.ask("POST", MESSAGES, &message("a")).await;
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let ledger = wire.ask("GET", "/_emulator/ledger", "").await;
    assert_eq!(read(&ledger.body)["operations"]["send_message"]["messages"], 1);
    assert_eq!(wire.ask("DELETE", "/_emulator/ledger", "").await.status, 204);
    assert_eq!(emulator.ledger().requests(), 0);

    let faults = r#"[{"fault": "throttle", "on": ["list_queue"], "times": 1}]"#;
    assert_eq!(wire.ask("PUT", "/_emulator/faults", faults).await.status, 204);
    let faults = read(&wire.ask("GET", "/_emulator/faults", "").await.body);
    assert_eq!(faults[0], json!({"fault": "throttle", "on": ["list_queue"], "share": 1.0, "times": 1}));
    assert_eq!(wire.ask("GET", "/queues", "").await.status, 429);
    let wrong = wire.ask("PUT", "/_emulator/faults", r#"[{"fault": "sloth"}]"#).await;
    assert!(wrong.status == 400 && wrong.body.contains(Fault::Throttle.as_str()), "{wrong:?}");

    let clock = wire.ask("POST", "/_emulator/clock?advance_ms=1500", "").await;
    assert_eq!(read(&clock.body)["now"], "2024-01-01T00:00:01.5Z");
    assert_eq!(wire.ask("POST", "/_emulator/clock", "").await.status, 400);

    for _ in 0..2 {
        let end = wire.ask("POST", "/_emulator/clock?advance_ms=18446744073709551615", "").await;
        assert!(read(&end.body)["now"].as_str().unwrap().starts_with("9999-"), "{end:?}");
        for (method, target, body) in
            [("POST", MESSAGES, message("b").as_str()), ("GET", MESSAGES, ""), ("GET", "/queues/q", "")]
        {
            assert!(wire.ask(method, target, body).await.status < 500, "{method} {target}");
        }
    }
}

#[tokio::test]
async fn the_state_of_messages_can_be_read_by_others() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    wire.ask("POST", MESSAGES, &message("a")).await;
    let messages = read(&wire.ask("GET", "/_emulator/messages/q", "").await.body);
    assert_eq!((&messages[0]["body"], &messages[0]["visibility"]), (&json!("a"), &json!("active")));
    assert_eq!(wire.ask("GET", "/_emulator/messages/other", "").await.status, 404);
    assert_eq!(wire.ask("GET", "/_emulator/other", "").await.status, 404);
}
