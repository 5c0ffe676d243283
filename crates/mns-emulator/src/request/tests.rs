//! What requests ask for, and what they are turned away with.

use super::*;

fn request(method: Method, target: &str, body: &str) -> Request {
    let body = Bytes::from(body.to_owned());
    Request { method, target: target.to_owned(), headers: HeaderMap::new(), body }
}

#[track_caller]
fn check(method: Method, target: &str, body: &str, expected: Result<Operation, &str>) {
    let call = Call::read(&request(method, target, body), false);
    assert_eq!(call.map(|call| call.operation()).map_err(|refusal| refusal.code), expected, "{target}");
}

#[test]
fn method_path_and_query_name_the_operation() {
    use Operation as Op;
    check(Method::GET, "/queues", "", Ok(Op::ListQueue));
    check(Method::PUT, "/queues/q", "", Ok(Op::CreateQueue));
    check(Method::PUT, "/queues/q?metaoverride=true", "<Queue/>", Ok(Op::SetQueueAttributes));
    check(Method::GET, "/queues/q", "", Ok(Op::GetQueueAttributes));
    check(Method::DELETE, "/queues/q", "", Ok(Op::DeleteQueue));
    let messages = "/queues/q/messages";
    check(Method::POST, messages, "<Message><MessageBody/></Message>", Ok(Op::SendMessage));
    check(Method::GET, messages, "", Ok(Op::ReceiveMessage));
    check(
        Method::GET,
        &format!("{messages}?numOfMessages=1&waitseconds=30"),
        "",
        Ok(Op::BatchReceiveMessage),
    );
    check(Method::GET, &format!("{messages}?peekonly=true"), "", Ok(Op::PeekMessage));
    check(Method::GET, &format!("{messages}?peekonly=true&numOfMessages=4"), "", Ok(Op::BatchPeekMessage));
    check(Method::DELETE, &format!("{messages}?receiptHandle=a"), "", Ok(Op::DeleteMessage));
    let handles = "<ReceiptHandles><ReceiptHandle>a</ReceiptHandle></ReceiptHandles>";
    check(Method::DELETE, messages, handles, Ok(Op::BatchDeleteMessage));
    let timed = format!("{messages}?ReceiptHandle=a&VisibilityTimeout=1");
    check(Method::PUT, &timed, "", Ok(Op::ChangeMessageVisibility));
}

#[test]
fn what_cannot_be_a_request_is_turned_away() {
    let messages = "/queues/q/messages";
    check(Method::GET, "/topics/t", "", Err("InvalidRequestURL"));
    check(Method::PATCH, "/queues/q", "", Err("InvalidRequestURL"));
    check(Method::POST, "/queues", "", Err("InvalidRequestURL"));
    check(Method::GET, "/queues/-q", "", Err("InvalidQueueName"));
    check(Method::GET, "/queues/a_b", "", Err("InvalidQueueName"));
    check(Method::GET, "/queues/", "", Err("QueueNameLengthError"));
    check(Method::GET, &format!("/queues/{}", "q".repeat(121)), "", Err("QueueNameLengthError"));
    check(Method::GET, &format!("{messages}?waitseconds=31"), "", Err("InvalidArgument"));
    check(Method::GET, &format!("{messages}?waitseconds=-1"), "", Err("InvalidArgument"));
    check(Method::GET, &format!("{messages}?waitseconds=4294967296"), "", Err("InvalidArgument"));
    for body in ["a\u{1}", "a&#1;", "a&#xFFFF;", "<a>b</a>", "<![CDATA[\u{8}]]>"] {
        let body = format!("<Message><MessageBody>{body}</MessageBody></Message>");
        check(Method::POST, messages, &body, Err("MalformedXML"));
    }
    check(Method::GET, &format!("{messages}?waitseconds=soon"), "", Err("InvalidQueryString"));
    check(Method::GET, &format!("{messages}?numOfMessages=17"), "", Err("InvalidArgument"));
    check(Method::GET, &format!("{messages}?numOfMessages=0"), "", Err("InvalidArgument"));
    check(Method::DELETE, messages, "", Err("MissingReceiptHandle"));
    check(Method::DELETE, messages, "<ReceiptHandles/>", Err("InvalidArgument"));
    check(Method::PUT, &format!("{messages}?VisibilityTimeout=1"), "", Err("MissingReceiptHandle"));
    check(Method::PUT, &format!("{messages}?ReceiptHandle=a"), "", Err("MissingVisibilityTimeout"));
    let zero = format!("{messages}?ReceiptHandle=a&VisibilityTimeout=0");
    check(Method::PUT, &zero, "", Err("InvalidArgument"));
    check(Method::PUT, "/queues/q", "<Topic/>", Err("InvalidArgument"));
}

#[test]
fn messages_are_checked_against_the_schema() {
    let sent = |inner: &str| {
        let body = format!("<Message>{inner}</Message>");
        match Call::read(&request(Method::POST, "/queues/q/messages", &body), false) {
            Ok(Call::Send { mut drafts, batch: false, .. }) => Ok(drafts.remove(0)),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.code),
        }
    };
    let body = "<MessageBody>a</MessageBody>";
    assert_eq!(sent(body), Ok(Draft { body: "a".to_owned(), ..Draft::default() }));
    let full = sent(&format!("{body}<DelaySeconds>5</DelaySeconds><Priority>1</Priority>")).unwrap();
    assert_eq!((full.delay_seconds, full.priority), (Some(5), Some(1)));
    for (inner, code) in [
        ("", "InvalidArgument"),
        ("<MessageBody>a & b</MessageBody>", "MalformedXML"),
        (&*format!("{body}<Priority>0</Priority>"), "InvalidArgument"),
        (&*format!("{body}<Priority>17</Priority>"), "InvalidArgument"),
        (&*format!("{body}<DelaySeconds>604801</DelaySeconds>"), "InvalidArgument"),
    ] {
        assert_eq!(sent(inner), Err(code), "{inner}");
    }
    let property = |name: &str, kind: &str| {
        let one =
            format!("<PropertyValue><Name>{name}</Name><Value>v</Value><Type>{kind}</Type></PropertyValue>");
        sent(&format!("{body}<UserProperties>\n {one}\n</UserProperties>"))
    };
    let kept = property("a.b", "STRING").unwrap();
    assert_eq!(kept.properties[0].text, "", "blanks between elements are not kept");
    for (name, kind) in [(".a", "STRING"), ("a b", "STRING"), ("", "STRING"), ("a", "TEXT")] {
        assert_eq!(property(name, kind), Err("InvalidArgument"), "{name} {kind}");
    }
}

#[test]
fn a_batch_holds_one_to_sixteen() {
    let entry = "<Message><MessageBody>a</MessageBody></Message>";
    let batch = |count: usize| format!("<Messages>{}</Messages>", entry.repeat(count));
    check(Method::POST, "/queues/q/messages", &batch(1), Ok(Operation::BatchSendMessage));
    check(Method::POST, "/queues/q/messages", &batch(16), Ok(Operation::BatchSendMessage));
    check(Method::POST, "/queues/q/messages", &batch(17), Err("InvalidArgument"));
    check(Method::POST, "/queues/q/messages", &batch(0), Err("InvalidArgument"));
}

#[test]
fn handles_are_percent_decoded_and_a_plus_sign_stays() {
    for spelling in ["1-a+/b==", "1-a%2B%2Fb%3D%3D"] {
        let target = format!("/queues/q/messages?ReceiptHandle={spelling}");
        let call = Call::read(&request(Method::DELETE, &target, ""), false).unwrap();
        assert_eq!(call, Call::Delete { queue: "q".to_owned(), handle: "1-a+/b==".to_owned() });
    }
}

#[test]
fn a_strict_emulator_takes_only_the_official_spelling() {
    let lower = request(Method::DELETE, "/queues/q/messages?receiptHandle=a", "");
    assert_eq!(Call::read(&lower, true), Err(Refusal::MISSING_RECEIPT_HANDLE));
    let upper = request(Method::GET, "/queues/q/messages?WaitSeconds=5", "");
    let expected = Call::Receive { queue: "q".to_owned(), most: None, wait_seconds: None };
    assert_eq!(Call::read(&upper, true), Ok(expected), "as the service does, which then does not wait");
}
