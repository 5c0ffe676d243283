//! Every recorded answer, played to the client that asks for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use mns_client::{
    AttributeChanges, EntryError, Error, ErrorKind, ListQueues, Message, Outgoing, Poll, PropertyKind,
    QueueName, ReceiptHandle,
};

use crate::script::Script;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/mns"))
}

/// The bytes of a recording, with the line ends that a head has on the wire.
fn bytes(file: &Path) -> Vec<u8> {
    let text = fs::read_to_string(file).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let body = if head.contains("Content-Length") { body.trim_end_matches('\n') } else { "" };
    format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n")).into_bytes()
}

async fn play(file: &Path) -> Script {
    let bytes = bytes(file);
    Script::start(move |_| bytes.clone()).await
}

async fn play_of(name: &str) -> Script {
    play(&folder().join(format!("{name}.response.http"))).await
}

/// What the client makes of an answer, in a few words.
fn told<T>(result: Result<T, Error>, tell: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|error| format!("{:?} {}", error.kind(), error.status().unwrap()), tell)
}

fn entries<T>(results: Vec<Result<T, EntryError>>) -> String {
    let words = results.into_iter().map(|result| result.map_or_else(|error| error.code, |_| "ok".to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

fn bodies(poll: Poll) -> String {
    poll.messages.into_iter().map(|message| message.body).collect::<Vec<_>>().join(" | ")
}

/// Asks for what the recording answers, and tells what came of it.
async fn ask(script: &Script, operation: &str, handles: &[ReceiptHandle]) -> String {
    let (client, queue) = (script.client(), script.queue());
    let [handle, ..] = handles else { panic!("no handle for {operation}") };
    let none = AttributeChanges::default();
    let wait = Duration::from_secs(2);
    match operation {
        "create_queue" => {
            told(client.create_queue(queue.name(), &none).await, |created| format!("{created:?}"))
        }
        "delete_queue" => told(client.delete_queue(queue.name()).await, |()| "done".to_owned()),
        "list_queue" => {
            told(client.list_queues(&ListQueues::default()).await, |page| format!("{:?}", page.queues))
        }
        "get_queue_attributes" => told(queue.attributes().await, |attributes| {
            format!("{:?} {:?}", attributes.queue_name.unwrap(), attributes.visibility_timeout.unwrap())
        }),
        "set_queue_attributes" => told(queue.set_attributes(&none).await, |()| "done".to_owned()),
        "send_message" => told(queue.send(&Outgoing::new("a")).await, |sent| {
            format!("{} handle {}", sent.message_id.len(), sent.receipt_handle.is_some())
        }),
        "batch_send_message" => {
            let messages = vec![Outgoing::new("a"); handles.len()];
            told(queue.send_batch(&messages).await, entries)
        }
        "peek_message" => told(queue.peek().await, |peeked| peeked.unwrap().body),
        "batch_peek_message" => {
            told(queue.peek_batch(16).await, |peeked| format!("{} messages", peeked.len()))
        }
        "receive_message" => told(queue.receive(wait).await, bodies),
        "batch_receive_message" => told(queue.receive_batch(16, wait).await, bodies),
        "delete_message" => told(queue.delete(handle).await, |()| "done".to_owned()),
        "batch_delete_message" => told(queue.delete_batch(handles).await, entries),
        "change_message_visibility" => told(queue.change_visibility(handle, wait).await, |retimed| {
            retimed.next_visible_time.unwrap().as_millisecond().to_string()
        }),
        other => panic!("what asks for {other}?"),
    }
}

/// What to ask for an answer, and what it means.
fn expected(name: &str) -> (&'static str, &'static str) {
    match name {
        "create_queue" => ("create_queue", "New"),
        "create_queue_same" | "create_queue_already_there" => ("create_queue", "WasThere"),
        "create_queue_conflict" => ("create_queue", "QueueAlreadyExist 409"),
        "delete_queue" => ("delete_queue", "done"),
        "list_queue" => ("list_queue", "[QueueName(\"demo-q\")]"),
        "get_queue_attributes" => ("get_queue_attributes", "\"demo-q\" 30"),
        "get_queue_attributes_sts" => ("get_queue_attributes", "\"demo-q\""),
        "set_queue_attributes" => ("set_queue_attributes", "done"),
        "send_message" | "send_message_raw" | "send_message_properties" => {
            ("send_message", "32 handle false")
        }
        "send_message_delayed" => ("send_message", "32 handle true"),
        "send_message_malformed_xml" => ("send_message", "Rejected 400"),
        "batch_send_message" | "batch_send" => ("batch_send_message", "ok"),
        "batch_send_message_partial_failure" => ("batch_send_message", "ok InternalError"),
        "peek_message" => ("peek_message", ""),
        "batch_peek_message" => ("batch_peek_message", "4 messages"),
        "receive_message" => ("receive_message", ""),
        "batch_receive_message" | "batch_receive" | "receive_topic_json_delivery" => {
            ("batch_receive_message", "")
        }
        "receive_message_empty_long_poll" | "empty_queue" => ("receive_message", ""),
        "receive_message_queue_missing" => ("receive_message", "QueueNotExist 404"),
        "delete_message" => ("delete_message", "done"),
        "delete_message_stale_handle" => ("delete_message", "MessageNotExist 404"),
        "batch_delete_message" | "batch_delete_all_ok" => ("batch_delete_message", "ok"),
        "batch_delete_message_partial_failure" => ("batch_delete_message", "ok MessageNotExist"),
        "batch_delete_partial_failure" => ("batch_delete_message", "MessageNotExist"),
        "change_message_visibility" | "change_visibility" => ("change_message_visibility", "1"),
        "throttled" => ("receive_message", "Throttled 429"),
        other => panic!("nothing is known of {other}"),
    }
}

/// The handles that the request was about, or as many as the answer has messages.
fn handles(file: &Path, name: &str) -> Vec<ReceiptHandle> {
    let elements = |text: &str, name: &str| -> Vec<String> {
        let after = text.split(&format!("<{name}>")).skip(1).map(str::to_owned).collect::<Vec<_>>();
        after.iter().map(|rest| rest[..rest.find("</").unwrap()].to_owned()).collect()
    };
    let answer = fs::read_to_string(file).unwrap();
    let request =
        fs::read_to_string(file.to_str().unwrap().replace(".response.", ".request.")).unwrap_or_default();
    let mut found = elements(&request, "ReceiptHandle");
    if name == "batch_delete_partial_failure" {
        found = elements(&answer, "ReceiptHandle");
    }
    if name.starts_with("batch_send") {
        found = vec!["any".to_owned(); answer.matches("<Message>").count()];
    }
    if found.is_empty() {
        found.push("any".to_owned());
    }
    found.into_iter().map(ReceiptHandle::new).collect()
}

#[tokio::test]
async fn every_recorded_answer_is_understood() {
    let mut played = 0;
    for directory in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        let files = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.to_str().unwrap().ends_with(".response.http")) {
            let name = file.file_name().unwrap().to_str().unwrap().strip_suffix(".response.http").unwrap();
            let name = name.split_once('_').unwrap().1;
            let (operation, outcome) = expected(name);
            let script = play(&file).await;
            let told = ask(&script, operation, &handles(&file, name)).await;
            assert!(told.starts_with(outcome), "{}: {told}, not {outcome}", file.display());
            played += 1;
        }
    }
    assert_eq!(played, 62);
}

fn only(poll: Poll) -> Message {
    assert_eq!((poll.messages.len(), poll.unreadable), (1, 0));
    poll.messages.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_message_of_todays_service_is_read_to_the_last_field() {
    let script = play_of("server-format-2026/01_batch_receive").await;
    let message = only(script.queue().receive_batch(16, Duration::from_secs(30)).await.unwrap());
    assert_eq!(message.message_id, "0A0B0C0D33FD7FCF7FB27DA1000000AA");
    assert!(message.receipt_handle.as_str().starts_with("0A0B0C0D33FD7FCF7FB27DA1000000AA-MyAx"));
    assert_eq!((message.body.as_str(), message.body_md5_matches()), ("hello", Some(true)));
    let moments = [message.enqueue_time, message.first_dequeue_time, message.next_visible_time];
    assert_eq!(
        moments.map(|moment| moment.unwrap().as_millisecond()),
        [1_704_067_200_000, 1_704_067_201_000, 1_704_067_231_000]
    );
    assert_eq!((message.dequeue_count, message.priority), (1, 8));
    assert_eq!((message.user_properties, message.message_group_id), (vec![], None));
}

#[tokio::test]
async fn properties_are_read_and_leave_the_digest_undecided() {
    let script = play_of("python-aliyun-mns-sdk-1.3.0/18_batch_receive_message").await;
    let poll = script.queue().receive_batch(16, Duration::from_secs(3)).await.unwrap();
    let properties = &poll.messages[0].user_properties;
    assert_eq!((properties[0].name.as_str(), properties[0].value.as_str()), ("k1", "v1"));
    assert_eq!((&properties[1].kind, properties[1].value.as_str()), (&PropertyKind::Binary, "AP8="));
    let digests: Vec<_> = poll.messages.iter().map(Message::body_md5_matches).collect();
    assert_eq!(digests, [None, Some(true), Some(true), Some(true), Some(true)]);
    assert_eq!(poll.messages[4].body, "raw & <xml> ok");
}

#[tokio::test]
async fn a_peeked_message_that_was_never_received_says_so() {
    let script = play_of("node-alicloud-mns-1.2.0/08_peek_message").await;
    let peeked = script.queue().peek().await.unwrap().unwrap();
    assert_eq!((peeked.first_dequeue_time, peeked.dequeue_count), (None, 0));
}

#[tokio::test]
async fn being_throttled_is_a_kind_of_its_own() {
    let script = play_of("server-format-2026/10_throttled").await;
    let error = script.queue().receive(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true));
    assert_eq!(
        error.to_string(),
        "cannot receive messages from queue demo-q: The request is denied by cluster flow limiter for too many \
         requests (TooManyRequests, HTTP 429, request 659200810102030405060708)"
    );
}

/// What a receive makes of an answer with these bodies, each of which has the MD5 of its meaning.
async fn received(bodies: &[(&[u8], &[u8])], most: usize) -> Result<Poll, Error> {
    let mut document = b"<Messages>".to_vec();
    for (place, (source, meaning)) in bodies.iter().enumerate() {
        let md5 = format!("{:032X}", u128::from_be_bytes(Md5::digest(meaning).into()));
        let head = format!(
            "<Message><MessageId>{place}</MessageId><MessageBodyMD5>{md5}</MessageBodyMD5><MessageBody>"
        );
        let tail = format!("</MessageBody><ReceiptHandle>h{place}</ReceiptHandle></Message>");
        document.extend([head.as_bytes(), source, tail.as_bytes()].concat());
    }
    document.extend_from_slice(b"</Messages>");
    let head = format!(
        "HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:01 GMT\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    let answer = [head.as_bytes(), &document].concat();
    let script = Script::start(move |_| answer.clone()).await;
    script.queue().receive_batch(most, Duration::ZERO).await
}

#[tokio::test]
async fn one_body_that_xml_cannot_have_costs_no_other() {
    let odd: [&[u8]; 6] =
        [b"{\"a\":\"\xff\xfe\"}", b"a&#0;", b"?a=1&b=2", b"&#xD800;", b"a&x;b", b"<ev><a>s</a></ev>"];
    let mut bodies: Vec<(&[u8], &[u8])> = odd.iter().map(|body| (*body, *body)).collect();
    bodies.extend([(&b"fine &amp; well"[..], &b"fine & well"[..]); 10]);
    let poll = received(&bodies, 16).await.unwrap();
    assert_eq!((poll.messages.len(), poll.unreadable), (16, 0));
    for (place, message) in poll.messages.iter().enumerate() {
        let expected = odd.get(place).copied();
        assert_eq!(message.raw_body.as_deref(), expected, "{place}");
        assert_eq!(message.body_bytes(), expected.unwrap_or(b"fine & well"));
        assert_eq!(message.body_md5_matches(), Some(true));
    }
    assert_eq!(poll.answered_at.unwrap().to_string(), "2024-01-01T00:00:01Z");
    let changed = received(&[(b"a&#0;", b"a\0")], 16).await.unwrap();
    assert_eq!(changed.messages[0].body_md5_matches(), Some(false));
}

#[tokio::test]
async fn line_ends_are_those_that_the_digest_is_of() {
    for (source, meaning) in [
        (&b"{\r\n\"a\":\r1}"[..], &b"{\r\n\"a\":\r1}"[..]),
        (b"{\r\n\"a\":\r1}", b"{\n\"a\":\n1}"),
        (b"{&#13;\n}", b"{\r\n}"),
    ] {
        let message = received(&[(source, meaning)], 1).await.map(only).unwrap();
        assert_eq!((message.body.as_bytes(), message.raw_body.as_ref()), (meaning, None));
        assert_eq!(message.body_md5_matches(), Some(true));
    }
    let neither = received(&[(b"a\r\nb", b"c")], 1).await.map(only).unwrap();
    assert_eq!((neither.body.as_str(), neither.body_md5_matches()), ("a\nb", Some(false)));
}

#[tokio::test]
async fn a_single_message_is_taken_out_of_an_answer_that_is_no_xml() {
    let body = &b"{\"a\":1<2}"[..];
    let message = received(&[(body, body)], 1).await.map(only).unwrap();
    assert_eq!((message.raw_body.as_deref(), message.receipt_handle.as_str()), (Some(body), "h0"));
    assert_eq!((message.message_id.as_str(), message.body_md5_matches()), ("0", Some(true)));
    let batch = received(&[(body, body)], 16).await.unwrap_err();
    assert_eq!((batch.kind(), batch.status()), (ErrorKind::Unreadable, Some(200)));
    assert_eq!(received(&[(body, body), (body, body)], 1).await.unwrap_err().kind(), ErrorKind::Unreadable);
}

#[tokio::test]
async fn nothing_is_done_where_something_else_answers() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n<html/>",
        "HTTP/1.1 500 X\r\ncontent-length: 11\r\n\r\n<Messages/>",
    ] {
        let script = Script::start(move |_| answer.as_bytes().to_vec()).await;
        let (client, queue, handle) = (script.client(), script.queue(), ReceiptHandle::new("h"));
        let none = AttributeChanges::default();
        assert!(queue.delete(&handle).await.is_err());
        assert!(queue.set_attributes(&none).await.is_err());
        assert!(client.create_queue(queue.name(), &none).await.is_err());
        assert!(client.delete_queue(queue.name()).await.is_err());
        assert!(queue.receive(Duration::ZERO).await.is_err());
        assert!(queue.send(&Outgoing::new("a")).await.is_err());
    }
}

#[tokio::test]
async fn one_odd_entry_costs_no_other() {
    let body = "<Messages><Message><MessageId>1</MessageId></Message><Message/>\
                <Message><MessageId>2</MessageId><ReceiptHandle>h</ReceiptHandle><MessageBody/>\
                <EnqueueTime>soon</EnqueueTime><DequeueCount>-1</DequeueCount></Message></Messages>";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
    let script = Script::start(move |_| answer.clone()).await;
    let poll = script.queue().receive_batch(16, Duration::ZERO).await.unwrap();
    assert_eq!((poll.messages.len(), poll.unreadable), (1, 2));
    let message = &poll.messages[0];
    assert_eq!((message.message_id.as_str(), message.body.as_str()), ("2", ""));
    assert_eq!((message.enqueue_time, message.dequeue_count, message.priority), (None, 0, 8));
    assert_eq!(QueueName::new("demo-q").unwrap(), *script.queue().name());
}
