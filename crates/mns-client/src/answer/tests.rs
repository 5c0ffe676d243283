//! Answers that are not as they should be. Those that are stand in the recordings that `tests/it` plays.

use http::HeaderValue;

use super::*;

fn answer(status: u16, body: &str) -> Result<Answer, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("date", HeaderValue::from_static("Mon, 01 Jan 2024 00:00:01 GMT"));
    headers.insert("x-mns-request-id", HeaderValue::from_static("659200810102030405060708"));
    read(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
}

#[track_caller]
fn check(status: u16, body: &str, kind: ErrorKind, says: &str) {
    let error = answer(status, body).unwrap_err();
    assert_eq!((error.kind(), error.status()), (kind, Some(status)));
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(error.request_id(), Some("659200810102030405060708"));
}

#[test]
fn what_is_not_the_services_becomes_an_error_of_its_status() {
    check(503, "", ErrorKind::Unavailable, "no body that says why (HTTP 503, request 6592");
    let page = "<html><head><title>502 Bad Gateway</title></head><body><hr>nginx</body></html>";
    check(502, page, ErrorKind::Unavailable, "not the service's: \"<html><head><title>502 Bad Gateway");
    check(404, "no such page", ErrorKind::Rejected, "not the service's: \"no such page\"");
    check(302, "", ErrorKind::Unreadable, "no body");
    check(200, "{}", ErrorKind::Unreadable, "it is not well-formed XML");
    check(200, "<!DOCTYPE a><a/>", ErrorKind::Unreadable, "document type");
    check(500, "<Message/>", ErrorKind::Unavailable, "not the service's");
}

#[test]
fn an_error_of_the_service_keeps_what_it_says() {
    let body = "<Error><Code>QueueNotExist</Code><Message>The queue is not exist.</Message>\
                <RequestId>AB</RequestId></Error>";
    let error = answer(404, body).unwrap_err();
    assert_eq!(error.to_string(), "The queue is not exist (QueueNotExist, HTTP 404, request AB)");
    assert_eq!((error.kind(), error.code()), (ErrorKind::QueueNotExist, Some("QueueNotExist")));
    let bare = answer(400, "<Error/>").unwrap_err();
    assert_eq!((bare.kind(), bare.code()), (ErrorKind::Rejected, None));
}

#[test]
fn the_services_words_are_cut_and_escaped_wherever_they_go() {
    let long = "m".repeat(100_000);
    let bodies = [
        format!(
            "<Error><Code>{long}</Code><Message>a\n\u{1b}[2J{long}</Message><RequestId>{long}</RequestId></Error>"
        ),
        format!(
            "<Errors><Error><ErrorCode>{long}</ErrorCode><ReceiptHandle>{long}</ReceiptHandle></Error></Errors>"
        ),
        format!("<{long}/>"),
    ];
    for body in bodies {
        let handles = [ReceiptHandle::new("a")];
        let error = answer(200, &body).and_then(|answer| deleted_entries(&answer, &handles)).unwrap_err();
        let said = error.to_string();
        assert!(said.chars().count() < 1_000 && !said.contains(['\n', '\u{1b}']), "{said:.2000}");
    }
    let entry = format!(
        "<Messages><Message><ErrorCode>{long}</ErrorCode><ErrorMessage>\u{1b}</ErrorMessage></Message></Messages>"
    );
    let failed = sent_entries(&answer(500, &entry).unwrap(), 1).unwrap().remove(0).unwrap_err();
    assert!(failed.code.chars().count() <= 301 && failed.message == "\\u{1b}", "{failed}");
}

#[test]
fn nothing_counts_as_done_that_does_not_say_so() {
    let check = |status, body: &str, kind: Option<ErrorKind>| {
        let done = answer(status, body).and_then(|answer| done(&answer));
        assert_eq!(done.err().map(|error| error.kind()), kind, "{status} {body}");
    };
    check(204, "", None);
    check(201, " \n", None);
    check(200, "<html/>", Some(ErrorKind::Unreadable));
    check(500, "<Messages/>", Some(ErrorKind::Unavailable));
    check(404, "<Errors/>", Some(ErrorKind::Rejected));
    check(302, "", Some(ErrorKind::Unreadable));
}

#[test]
fn a_message_counts_as_sent_only_with_an_id_and_without_an_error() {
    let check = |inner: &str, id: Option<&str>| {
        let body = format!("<Messages><Message>{inner}</Message></Messages>");
        let sent = sent_entries(&answer(201, &body).unwrap(), 1).unwrap().remove(0);
        assert_eq!(sent.ok().map(|sent| sent.message_id).as_deref(), id, "{inner}");
    };
    check("<MessageId>1</MessageId><MessageBodyMD5>A</MessageBodyMD5>", Some("1"));
    check("<MessageId>1</MessageId><ErrorCode/>", Some("1"));
    check("<MessageId> </MessageId>", None);
    check("<MessageId>1</MessageId><ErrorCode>InternalError</ErrorCode>", None);
    check("", None);
}

#[test]
fn a_clock_that_is_off_is_told_the_time() {
    let error = answer(408, "<Error><Code>TimeExpired</Code></Error>").unwrap_err();
    let server_time = "2024-01-01T00:00:01Z".parse().ok();
    assert_eq!(error.kind(), ErrorKind::ClockSkew { server_time });
    assert!(
        error.to_string().contains("for the service it is 2024-01-01T00:00:01Z; set the clock"),
        "{error}"
    );
}

#[test]
fn a_batch_is_believed_only_if_its_entries_are_those_that_were_sent() {
    let handles = ["a", "b", "a"].map(ReceiptHandle::new);
    let failed = |handle: &str, code: &str| {
        let entry = format!("<ErrorCode>{code}</ErrorCode><ErrorMessage>m</ErrorMessage>");
        answer(
            404,
            &format!("<Errors><Error>{entry}<ReceiptHandle>{handle}</ReceiptHandle></Error></Errors>"),
        )
        .unwrap()
    };
    let results = deleted_entries(&failed("a", "MessageNotExist"), &handles).unwrap();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::MessageNotExist);
    let stranger = deleted_entries(&failed("c", "MessageNotExist"), &handles).unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::Unreadable);

    let sent = answer(201, "<Messages><Message><MessageId>1</MessageId></Message></Messages>").unwrap();
    assert_eq!(sent_entries(&sent, 1).unwrap()[0].as_ref().unwrap().message_id, "1");
    assert_eq!(sent_entries(&sent, 2).unwrap_err().kind(), ErrorKind::Unreadable);
    assert_eq!(sent_entries(&answer(201, "").unwrap(), 1).unwrap_err().kind(), ErrorKind::Unreadable);
}

#[test]
fn a_message_that_is_gone_counts_as_deleted_only_after_a_lost_answer() {
    let handles = ["a", "b"].map(ReceiptHandle::new);
    let entry = |handle: &str, code: &str| {
        format!("<Error><ErrorCode>{code}</ErrorCode><ReceiptHandle>{handle}</ReceiptHandle></Error>")
    };
    let body = format!("<Errors>{}{}</Errors>", entry("a", "MessageNotExist"), entry("b", "InternalError"));
    let mut answer = answer(404, &body).unwrap();
    for (after_loss, expected) in [(false, [false, false]), (true, [true, false])] {
        answer.after_loss = after_loss;
        let results = deleted_entries(&answer, &handles).unwrap();
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), expected);
    }
}
