//! The whole life cycle against the emulator, in both generations of answers, with signatures checked.

use std::time::Duration;

use aliyun_credentials::{CredentialProvider, Credentials};
use mns_client::{
    AttributeChanges, Client, Config, Created, Encoding, ErrorKind, ListQueues, Outgoing, Property, Queue,
    ReceiptHandle, Retry,
};
use mns_emulator::{AccessKey, Attributes, Clock, Emulator, Format, Operation, Settings};

use crate::script::client;

/// An emulator that checks signatures, and its queue.
pub(crate) async fn emulated(settings: Settings) -> (Emulator, Queue) {
    let access_keys = vec![AccessKey::new("AK", "SK")];
    let emulator = Emulator::start(Settings { access_keys, strict: true, ..settings }).await.unwrap();
    emulator.create_queue("orders", Attributes::default()).unwrap();
    let queue = client(&emulator.endpoint(), Retry::never()).queue("orders".parse().unwrap());
    (emulator, queue)
}

/// Settings whose time stands still, at the moment it is: signatures are checked against it.
pub(crate) fn frozen() -> Settings {
    Settings { clock: Clock::frozen_at(Clock::running().now()), ..Settings::default() }
}

fn both_generations() -> [Settings; 3] {
    [
        frozen(),
        Settings { format: Format::Old, compact: true, ..frozen() },
        Settings { chunked: true, ..frozen() },
    ]
}

#[tokio::test]
async fn queues_are_created_described_listed_and_deleted() {
    for settings in both_generations() {
        let (emulator, _) = emulated(settings).await;
        let client = client(&emulator.endpoint(), Retry::never());
        let queue = client.queue("demo".parse().unwrap());
        let name = queue.name();
        let minute = AttributeChanges { visibility_timeout: Some(60), ..AttributeChanges::default() };
        assert_eq!(client.create_queue(name, &minute).await, Ok(Created::New));
        assert_eq!(client.create_queue(name, &minute).await, Ok(Created::WasThere));
        let other = AttributeChanges { visibility_timeout: Some(61), ..minute };
        let error = client.create_queue(name, &other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueAlreadyExist);

        queue.set_attributes(&other).await.unwrap();
        queue.send(&Outgoing::new("a")).await.unwrap();
        let attributes = queue.attributes().await.unwrap();
        assert_eq!(attributes.queue_name.as_deref(), Some("demo"));
        assert_eq!(
            (attributes.visibility_timeout, attributes.message_retention_period),
            (Some(61), Some(345_600))
        );
        assert_eq!((attributes.active_messages, attributes.inactive_messages), (Some(1), Some(0)));
        assert_eq!(attributes.create_time, attributes.last_modify_time);
        assert_eq!(attributes.logging_enabled, Some(false));

        let invalid = AttributeChanges { visibility_timeout: Some(0), ..minute };
        let error = queue.set_attributes(&invalid).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some("InvalidArgument")));

        let first = client.list_queues(&ListQueues { most: Some(1), ..ListQueues::default() }).await.unwrap();
        let second =
            client.list_queues(&ListQueues { marker: first.next, ..ListQueues::default() }).await.unwrap();
        let names = [first.queues, second.queues].concat();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["demo", "orders"]);
        assert_eq!(second.next, None);
        let none = ListQueues { prefix: Some("x".to_owned()), ..ListQueues::default() };
        assert_eq!(client.list_queues(&none).await.unwrap().queues, []);

        client.delete_queue(name).await.unwrap();
        client.delete_queue(name).await.unwrap();
        for error in [
            queue.attributes().await.unwrap_err(),
            queue.send(&Outgoing::new("a")).await.unwrap_err(),
            queue.receive(Duration::ZERO).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.status()), (ErrorKind::QueueNotExist, Some(404)));
            assert_eq!(error.request_id().map(str::len), Some(24));
        }
    }
}

#[tokio::test]
async fn messages_are_sent_received_retimed_and_deleted() {
    for settings in both_generations() {
        let (emulator, queue) = emulated(settings).await;
        let body = "a & <b> \"c\"\r\n\u{4e16}";
        let sent = queue.send(&Outgoing::new(body)).await.unwrap();
        let peeked = queue.peek().await.unwrap().unwrap();
        assert_eq!((&peeked.message_id, peeked.dequeue_count), (&sent.message_id, 0));
        let poll = queue.receive(Duration::ZERO).await.unwrap();
        let message = &poll.messages[0];
        assert_eq!((message.body.as_str(), &message.message_id), (body, &sent.message_id));
        assert_eq!((message.body_md5_matches(), &message.body_md5), (Some(true), &sent.body_md5));
        let timeout = message.next_visible_time.unwrap().duration_since(message.first_dequeue_time.unwrap());
        assert_eq!(timeout.as_secs(), 30);

        let retimed =
            queue.change_visibility(&message.receipt_handle, Duration::from_secs(60)).await.unwrap();
        assert_ne!(retimed.receipt_handle, message.receipt_handle);
        let stale = queue.delete(&message.receipt_handle).await.unwrap_err();
        assert_eq!((stale.kind(), stale.is_temporary()), (ErrorKind::MessageNotExist, false));
        emulator.advance(Duration::from_secs(59)).await;
        assert!(queue.receive(Duration::ZERO).await.unwrap().messages.is_empty());
        emulator.advance(Duration::from_secs(1)).await;
        let again = queue.receive(Duration::ZERO).await.unwrap();
        assert_eq!(again.messages[0].dequeue_count, 2);
        queue.delete(&again.messages[0].receipt_handle).await.unwrap();
        let bogus = queue.delete(&ReceiptHandle::new("bogus")).await.unwrap_err();
        assert_eq!(bogus.kind(), ErrorKind::ReceiptHandle);
        assert_eq!(emulator.messages("orders"), []);
    }
}

#[tokio::test]
async fn batches_are_answered_entry_by_entry() {
    let (emulator, queue) = emulated(frozen()).await;
    let messages: Vec<Outgoing> = (0..16).map(|number| Outgoing::new(number.to_string())).collect();
    let sent = queue.send_batch(&messages).await.unwrap();
    assert!(sent.iter().all(Result::is_ok));
    assert_eq!(queue.peek_batch(16).await.unwrap().len(), 16);
    let poll = queue.receive_batch(16, Duration::ZERO).await.unwrap();
    let bodies: Vec<&str> = poll.messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, messages.iter().map(|message| message.body.as_str()).collect::<Vec<_>>());
    let mut handles: Vec<ReceiptHandle> =
        poll.messages.into_iter().map(|message| message.receipt_handle).collect();
    handles[3] = ReceiptHandle::new("bogus");
    let deleted = queue.delete_batch(&handles).await.unwrap();
    let failed: Vec<usize> = (0..16).filter(|number| deleted[*number].is_err()).collect();
    assert_eq!(failed, [3]);
    assert_eq!(deleted[3].as_ref().unwrap_err().kind(), ErrorKind::ReceiptHandle);
    assert_eq!(emulator.messages("orders").len(), 1);
    let ledger = emulator.ledger();
    assert_eq!((ledger.of(Operation::BatchSendMessage).requests, ledger.requests()), (1, 4));

    assert_eq!(queue.send_batch(&[]).await, Ok(vec![]));
    for count in [0, 17] {
        let received = queue.receive_batch(count, Duration::ZERO).await;
        assert_eq!(received.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let batch = vec![Outgoing::new("a"); 17];
    assert_eq!(queue.send_batch(&batch).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(queue.delete_batch(&[]).await, Ok(vec![]));
    assert_eq!(emulator.ledger().requests(), 4, "what cannot be right is not sent");
}

#[tokio::test]
async fn delay_priority_and_properties_arrive() {
    let (emulator, queue) = emulated(frozen()).await;
    let late = Outgoing { delay: Some(Duration::from_millis(1500)), ..Outgoing::new("late") };
    let handle = queue.send(&late).await.unwrap().receipt_handle.unwrap();
    let other = queue.send(&late).await.unwrap().receipt_handle.unwrap();
    queue.delete(&other).await.unwrap();
    queue.change_visibility(&handle, Duration::from_secs(1)).await.unwrap();
    queue.send(&Outgoing::new("normal")).await.unwrap();
    let urgent = Outgoing {
        priority: Some(1),
        user_properties: vec![Property::text("k", "v & w")],
        ..Outgoing::new("urgent")
    };
    queue.send(&urgent).await.unwrap();
    emulator.advance(Duration::from_secs(1)).await;
    let poll = queue.receive_batch(16, Duration::ZERO).await.unwrap();
    let bodies: Vec<&str> = poll.messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["urgent", "late", "normal"]);
    assert_eq!(poll.messages[0].user_properties, urgent.user_properties);
    assert_eq!((poll.messages[0].priority, poll.messages[0].body_md5_matches()), (1, None));
}

#[tokio::test]
async fn bodies_of_every_kind_share_a_batch() {
    let (_emulator, queue) = emulated(frozen()).await;
    let payloads: [(&[u8], Encoding); 4] = [
        (b"{\"a\":1}", Encoding::Raw),
        (b"\x01\xff", Encoding::Base64),
        (b"plain", Encoding::Auto),
        (b"a\x01", Encoding::Auto),
    ];
    let batch: Vec<Outgoing> =
        payloads.iter().map(|(payload, encoding)| Outgoing::encoded(payload, *encoding).unwrap()).collect();
    queue.send_batch(&batch).await.unwrap();
    let poll = queue.receive_batch(16, Duration::ZERO).await.unwrap();
    let decoded: Vec<Vec<u8>> =
        poll.messages.iter().map(|message| message.decode(Encoding::Auto).unwrap().into_owned()).collect();
    assert_eq!(
        decoded,
        [&b"{\"a\":1}"[..], b"Af8=", b"plain", b"a\x01"],
        "bytes that are no text stay as they came"
    );
    assert_eq!(&*poll.messages[1].decode(Encoding::Base64).unwrap(), b"\x01\xff");
    assert!(poll.messages[0].decode(Encoding::Base64).is_err(), "of one message, not of the batch");
}

#[tokio::test]
async fn keys_that_are_wrong_and_clocks_that_are_off_are_told_apart() {
    let (emulator, queue) = emulated(frozen()).await;
    for (id, secret, code) in
        [("AK", "other", "SignatureDoesNotMatch"), ("other", "SK", "InvalidAccessKeyId")]
    {
        let config = Config::new(emulator.endpoint().parse().unwrap());
        let client = Client::new(config, CredentialProvider::fixed(Credentials::new(id, secret))).unwrap();
        let error = client.queue("orders".parse().unwrap()).receive(Duration::ZERO).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::AccessDenied, Some(code)));
        assert!(!error.to_string().contains(secret), "{error}");
    }
    emulator.advance(Duration::from_secs(3600)).await;
    let error = queue.receive(Duration::ZERO).await.unwrap_err();
    let ErrorKind::ClockSkew { server_time: Some(server_time) } = error.kind() else { panic!("{error:?}") };
    assert!(emulator.clock().now().duration_since(server_time).as_secs() < 1);
    assert!(
        error.to_string().contains(&format!("for the service it is {server_time}; set the clock")),
        "{error}"
    );
}

#[tokio::test]
async fn sts_tokens_are_checked() {
    let key = AccessKey { security_token: Some("token".to_owned()), ..AccessKey::new("AK", "SK") };
    let emulator = Emulator::start(Settings { access_keys: vec![key], ..frozen() }).await.unwrap();
    emulator.create_queue("orders", Attributes::default()).unwrap();
    for (token, expected) in [(Some("token"), true), (Some("other"), false), (None, false)] {
        let mut credentials = Credentials::new("AK", "SK");
        credentials.security_token = token.map(aliyun_credentials::Secret::new);
        let config = Config::new(emulator.endpoint().parse().unwrap());
        let client = Client::new(config, CredentialProvider::fixed(credentials)).unwrap();
        let result = client.queue("orders".parse().unwrap()).attributes().await;
        assert_eq!(result.is_ok(), expected, "{token:?}");
    }
}
