//! The life of queues and messages, and every way in which a request can be wrong.

use std::time::Duration;

use mns_emulator::{Attributes, Emulator, Operation, Settings, Visibility};

use crate::wire::{MESSAGES, Wire, emulator, message};

async fn open() -> (Emulator, Wire) {
    let emulator = emulator(Settings { compact: true, ..Settings::default() }).await;
    let wire = Wire::to(&emulator).await;
    (emulator, wire)
}

#[tokio::test]
async fn a_queue_is_created_described_changed_listed_and_deleted() {
    let (_emulator, mut wire) = open().await;
    let timeout = |seconds| format!("<Queue><VisibilityTimeout>{seconds}</VisibilityTimeout></Queue>");
    let created = wire.ask("PUT", "/queues/demo", &timeout(60)).await;
    assert_eq!((created.status, created.header("location")), (201, Some("http://local/queues/demo")));
    let again = wire.ask("PUT", "/queues/demo", &timeout(60)).await;
    assert_eq!((again.status, again.header("location")), (204, Some("http://local/queues/demo")));
    assert_eq!(wire.ask("PUT", "/queues/demo", "").await.status, 204, "what is not named is not compared");
    let other = wire.ask("PUT", "/queues/demo", &timeout(61)).await;
    assert_eq!((other.status, other.text("Code")), (409, "QueueAlreadyExist"));

    let changed = wire.ask("PUT", "/queues/demo?metaoverride=true", &timeout(61)).await;
    assert_eq!(changed.status, 204);
    let described = wire.ask("GET", "/queues/demo", "").await;
    for (name, value) in [
        ("QueueName", "demo"),
        ("CreateTime", "1704067200"),
        ("LastModifyTime", "1704067200"),
        ("DelaySeconds", "0"),
        ("MaximumMessageSize", "65536"),
        ("MessageRetentionPeriod", "345600"),
        ("VisibilityTimeout", "61"),
        ("PollingWaitSeconds", "0"),
        ("LoggingEnabled", "False"),
        ("ActiveMessages", "0"),
        ("InactiveMessages", "0"),
        ("DelayMessages", "0"),
    ] {
        assert_eq!(described.text(name), value, "{name}");
    }

    assert_eq!(wire.ask("DELETE", "/queues/demo", "").await.status, 204);
    assert_eq!(wire.ask("DELETE", "/queues/demo", "").await.status, 204, "deleting again is no error");
    for (method, target) in
        [("GET", "/queues/demo"), ("PUT", "/queues/demo?metaoverride=true"), ("GET", "/queues/demo/messages")]
    {
        let missing = wire.ask(method, target, "").await;
        assert_eq!((missing.status, missing.text("Code")), (404, "QueueNotExist"), "{method} {target}");
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (emulator, mut wire) = open().await;
    for name in ["a1", "a2", "a3", "b1"] {
        emulator.create_queue(name, Attributes::default()).unwrap();
    }
    let mut marker = String::new();
    let mut pages = Vec::new();
    loop {
        let head = format!(
            "GET /queues HTTP/1.1\r\nhost: local\r\nx-mns-prefix: a\r\nx-mns-ret-number: 2\r\nx-mns-marker: {marker}\r\n\r\n"
        );
        wire.say(&head).await;
        let page = wire.hear().await.unwrap();
        pages.push(page.texts("QueueURL").into_iter().map(str::to_owned).collect::<Vec<_>>());
        if !page.body.contains("<NextMarker>") {
            break;
        }
        marker = page.text("NextMarker").to_owned();
    }
    let url = |name: &str| format!("http://local/queues/{name}");
    assert_eq!(pages, [vec![url("a1"), url("a2")], vec![url("a3")]]);
    wire.say("GET /queues HTTP/1.1\r\nhost: local\r\nx-mns-with-meta: true\r\nx-mns-prefix: b\r\n\r\n").await;
    assert_eq!(wire.hear().await.unwrap().text("VisibilityTimeout"), "30");
    wire.say("GET /queues HTTP/1.1\r\nhost: local\r\nx-mns-ret-number: 1001\r\n\r\n").await;
    assert_eq!(wire.hear().await.unwrap().text("Code"), "InvalidArgument");
}

#[tokio::test]
async fn a_message_is_sent_peeked_received_retimed_and_deleted() {
    let (emulator, mut wire) = open().await;
    assert_eq!(wire.ask("POST", MESSAGES, &message("a &amp; b")).await.status, 201);
    let peeked = wire.ask("GET", &format!("{MESSAGES}?peekonly=true"), "").await;
    assert_eq!((peeked.text("MessageBody"), peeked.text("FirstDequeueTime")), ("a &amp; b", "0"));
    assert!(!peeked.body.contains("ReceiptHandle") && !peeked.body.contains("NextVisibleTime"));
    let received = wire.ask("GET", MESSAGES, "").await;
    let handle = received.text("ReceiptHandle");
    let retime =
        |handle: &str, seconds| format!("{MESSAGES}?ReceiptHandle={handle}&VisibilityTimeout={seconds}");
    let changed = wire.ask("PUT", &retime(handle, 60), "").await;
    assert_eq!(changed.text("NextVisibleTime"), "1704067260000");
    let stale = wire.ask("DELETE", &format!("{MESSAGES}?ReceiptHandle={handle}"), "").await;
    assert_eq!((stale.status, stale.text("Code")), (404, "MessageNotExist"));
    let delete = format!("{MESSAGES}?ReceiptHandle={}", changed.text("ReceiptHandle"));
    assert_eq!(wire.ask("DELETE", &delete, "").await.status, 204);
    assert_eq!(wire.ask("DELETE", &delete, "").await.status, 404, "a second time");
    assert_eq!(emulator.messages("q"), []);
    let bogus = wire.ask("DELETE", &format!("{MESSAGES}?ReceiptHandle=bogus"), "").await;
    assert_eq!((bogus.status, bogus.text("Code")), (400, "ReceiptHandleError"));
}

#[tokio::test]
async fn batches_say_what_became_of_each_entry() {
    let (emulator, mut wire) = open().await;
    let batch = format!("<Messages>{}{}</Messages>", message("a"), message("b"));
    let sent = wire.ask("POST", MESSAGES, &batch).await;
    assert_eq!((sent.status, sent.texts("MessageId").len()), (201, 2));
    let received = wire.ask("GET", &format!("{MESSAGES}?numOfMessages=16"), "").await;
    assert_eq!(received.texts("MessageBody"), ["a", "b"], "in the order in which they were sent");
    let handles = received.texts("ReceiptHandle");
    let list = |handles: &[&str]| {
        let entries: String =
            handles.iter().map(|handle| format!("<ReceiptHandle>{handle}</ReceiptHandle>")).collect();
        format!("<ReceiptHandles>{entries}</ReceiptHandles>")
    };
    let partly = wire.ask("DELETE", MESSAGES, &list(&[handles[0], "bogus"])).await;
    assert_eq!(partly.status, 404);
    assert!(partly.body.contains(
        "<Errors xmlns=\"http://mns.aliyuncs.com/doc/v1\"><Error><ErrorCode>ReceiptHandleError</ErrorCode>\
         <ErrorMessage>The receipt handle you provide is not valid.</ErrorMessage>\
         <ReceiptHandle>bogus</ReceiptHandle></Error></Errors>"
    ));
    assert_eq!(emulator.messages("q").len(), 1, "what is not listed was deleted");
    assert_eq!(wire.ask("DELETE", MESSAGES, &list(&handles[1..])).await.status, 204);
    let ledger = emulator.ledger();
    assert_eq!((ledger.deleted(), ledger.requests_per_message()), (2, Some(1.5)));
    assert_eq!(ledger.of(Operation::BatchReceiveMessage).messages, 2);
}

#[tokio::test]
async fn sizes_are_limited_by_queue_and_by_request() {
    let (emulator, mut wire) = open().await;
    let small = Attributes { maximum_message_size: 1024, ..Attributes::default() };
    emulator.create_queue("small", small).unwrap();
    let fits = wire.ask("POST", "/queues/small/messages", &message(&"x".repeat(1024))).await;
    let exceeds = wire.ask("POST", "/queues/small/messages", &message(&"x".repeat(1025))).await;
    assert_eq!((fits.status, exceeds.text("Code")), (201, "InvalidArgument"));
    let half = message(&"x".repeat(32 << 10));
    let two = wire.ask("POST", MESSAGES, &format!("<Messages>{half}{half}</Messages>")).await;
    let more = format!("<Messages>{half}{half}{}</Messages>", message("x"));
    let three = wire.ask("POST", MESSAGES, &more).await;
    assert_eq!((two.status, three.text("Code")), (201, "InvalidArgument"));
    assert_eq!(
        (emulator.messages("q").len(), emulator.counts("q").all()),
        (2, 2),
        "of a batch that is too large nothing is taken"
    );
}

#[tokio::test]
async fn a_message_shows_its_state_to_the_test() {
    let (emulator, mut wire) = open().await;
    let delayed = "<Message><MessageBody>later</MessageBody><DelaySeconds>5</DelaySeconds></Message>";
    assert!(wire.ask("POST", MESSAGES, delayed).await.text("ReceiptHandle").len() > 32);
    emulator.send("q", "now").unwrap();
    emulator.send("q", "next").unwrap();
    wire.ask("GET", MESSAGES, "").await;
    let now = emulator.clock().now();
    let states =
        emulator.messages("q").into_iter().map(|state| (state.body, state.dequeue_count, state.visibility));
    let until = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(
        states.collect::<Vec<_>>(),
        [
            ("later".to_owned(), 0, Visibility::Delayed { until: until(5) }),
            ("now".to_owned(), 1, Visibility::Inactive { until: until(30) }),
            ("next".to_owned(), 0, Visibility::Active),
        ]
    );
    let described = wire.ask("GET", "/queues/q", "").await;
    let counts =
        ["ActiveMessages", "InactiveMessages", "DelayMessages"].map(|name| described.text(name).to_owned());
    assert_eq!(counts, ["1", "1", "1"]);
}

#[tokio::test]
async fn the_name_of_a_deleted_queue_may_rest() {
    let settings = Settings { name_rest: Duration::from_secs(10), ..Settings::default() };
    let emulator = emulator(settings).await;
    let mut wire = Wire::to(&emulator).await;
    wire.ask("DELETE", "/queues/q", "").await;
    let early = wire.ask("PUT", "/queues/q", "").await;
    assert_eq!((early.status, early.text("Code")), (400, "QueueDeletedRecently"));
    emulator.clock().advance(Duration::from_secs(10));
    assert_eq!(wire.ask("PUT", "/queues/q", "").await.status, 201);
}
