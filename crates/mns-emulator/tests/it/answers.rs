//! Answers to the byte, in the look of both generations.

use std::time::Duration;

use mns_emulator::{Format, Settings};

use crate::wire::{MESSAGES, Wire, emulator, message};

#[tokio::test]
async fn todays_service_is_matched_to_the_byte() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    let sent = wire.ask("POST", MESSAGES, &message("hello")).await;
    let id = sent.text("MessageId").to_owned();
    assert_eq!(
        sent.body,
        format!(
            "<?xml version=\"1.0\" ?>\n<Message xmlns=\"http://mns.aliyuncs.com/doc/v1\">\n  \
             <MessageId>{id}</MessageId>\n  \
             <MessageBodyMD5>5D41402ABC4B2A76B9719D911017C592</MessageBodyMD5>\n</Message>"
        )
    );
    emulator.clock().advance(Duration::from_secs(1));
    let received = wire.ask("GET", &format!("{MESSAGES}?numOfMessages=16"), "").await;
    let handle = received.text("ReceiptHandle").to_owned();
    assert!(handle.starts_with(&format!("{id}-")), "{handle}");
    assert_eq!(
        received.body,
        format!(
            "<?xml version=\"1.0\" ?>\n<Messages xmlns=\"http://mns.aliyuncs.com/doc/v1\">\n  <Message>\n    \
             <MessageId>{id}</MessageId>\n    \
             <MessageBodyMD5>5D41402ABC4B2A76B9719D911017C592</MessageBodyMD5>\n    \
             <MessageBody>hello</MessageBody>\n    <ReceiptHandle>{handle}</ReceiptHandle>\n    \
             <EnqueueTime>1704067200000</EnqueueTime>\n    <FirstDequeueTime>1704067201000</FirstDequeueTime>\n    \
             <NextVisibleTime>1704067231000</NextVisibleTime>\n    <DequeueCount>1</DequeueCount>\n    \
             <Priority>8</Priority>\n  </Message>\n</Messages>"
        )
    );
    let empty = wire.ask("GET", MESSAGES, "").await;
    let request = empty.header("x-mns-request-id").unwrap();
    assert!(request.starts_with("65920081") && request.len() == 24, "{request}");
    assert_eq!(
        empty.body,
        format!(
            "<?xml version=\"1.0\" ?>\n<Error xmlns=\"http://mns.aliyuncs.com/doc/v1\">\n  \
             <Code>MessageNotExist</Code>\n  <Message>Message not exist.</Message>\n  \
             <RequestId>{request}</RequestId>\n  <HostId>http://local</HostId>\n</Error>"
        )
    );
    for (name, value) in [
        ("server", "AliyunMQS"),
        ("date", "Mon, 01 Jan 2024 00:00:01 GMT"),
        ("content-type", "text/xml;charset=utf-8"),
        ("x-mns-version", "2015-06-06"),
        ("x-mns-response-format", "xml"),
        ("x-mns-threadpool-wait-time", "0"),
    ] {
        assert_eq!(empty.header(name), Some(value), "{name}");
    }
    assert!(empty.head.contains("x-mns-account-type: \r\n"), "{}", empty.head);
    let deleted = wire.ask("DELETE", &format!("{MESSAGES}?ReceiptHandle={handle}"), "").await;
    assert_eq!((deleted.status, deleted.header("content-type")), (204, Some("text/xml;charset=utf-8")));
}

#[tokio::test]
async fn the_former_service_answers_in_its_own_way() {
    let emulator = emulator(Settings { format: Format::Old, compact: true, ..Settings::default() }).await;
    let mut wire = Wire::to(&emulator).await;
    let sent = wire.ask("POST", MESSAGES, &message("hello")).await;
    let id = sent.text("MessageId");
    assert_eq!(id.split('-').count(), 4, "{id}");
    let received = wire.ask("GET", MESSAGES, "").await;
    let handle = received.text("ReceiptHandle");
    assert!(handle.starts_with("1-"), "{handle}");
    assert_eq!(
        received.body,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Message xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\
             <MessageId>{id}</MessageId><ReceiptHandle>{handle}</ReceiptHandle><MessageBody>hello</MessageBody>\
             <MessageBodyMD5>5D41402ABC4B2A76B9719D911017C592</MessageBodyMD5>\
             <EnqueueTime>1704067200000</EnqueueTime><NextVisibleTime>1704067230000</NextVisibleTime>\
             <FirstDequeueTime>1704067200000</FirstDequeueTime><DequeueCount>1</DequeueCount>\
             <Priority>8</Priority></Message>"
        )
    );
    assert_eq!(received.header("x-mns-response-format"), None);
    let handle = format!("{MESSAGES}?ReceiptHandle={}&VisibilityTimeout=60", handle.replace('=', "%3D"));
    assert_eq!(wire.ask("PUT", &handle, "").await.text("NextVisibleTime"), "1704067260000");
}

#[tokio::test]
async fn properties_come_back_and_change_the_digest() {
    let emulator = emulator(Settings { compact: true, ..Settings::default() }).await;
    let mut wire = Wire::to(&emulator).await;
    let property = "<PropertyValue><Name>k1</Name><Value></Value><Type>STRING</Type></PropertyValue>";
    let properties = format!("<UserProperties>{property}</UserProperties>");
    let body = format!("<Message><MessageBody>hello</MessageBody>{properties}</Message>");
    assert_eq!(wire.ask("POST", MESSAGES, &body).await.status, 201);
    let received = wire.ask("GET", MESSAGES, "").await;
    assert!(
        received.body.ends_with(&format!("<Priority>8</Priority>{properties}</Message>")),
        "{}",
        received.body
    );
    assert_ne!(received.text("MessageBodyMD5"), "5D41402ABC4B2A76B9719D911017C592");
}

#[tokio::test]
async fn bodies_in_chunks_have_no_content_length() {
    let emulator = emulator(Settings { chunked: true, ..Settings::default() }).await;
    let mut wire = Wire::to(&emulator).await;
    wire.begin("GET", MESSAGES, "").await;
    wire.say("GET /queues HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n").await;
    let all = wire.rest().await;
    assert!(all.contains("transfer-encoding: chunked") && !all.contains("content-length"), "{all}");
    assert!(all.contains("<Code>MessageNotExist</Code>") && all.contains("<QueueURL>"), "{all}");
}
