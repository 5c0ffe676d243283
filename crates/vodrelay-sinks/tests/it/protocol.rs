//! What the archive says to a store and how it takes the answers, against a server that plays a script.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use vodrelay_core::config::Surroundings;
use vodrelay_core::sink::Retry;
use vodrelay_core::testing::event_body;
use vodrelay_core::{Sink, SinkError};

use crate::archive::delivery;
use crate::bucket::{Bucket, target};
use crate::build;
use crate::images::gif;
use crate::images_kept::{event, image, sink};
use crate::script::{Request, Script, answer, plain_http};

fn s3(server: &Script) -> Value {
    json!({"url": "s3://events/some/prefix", "endpoint": server.url(""), "path_style": true, "region": "eu-1",
           "access_key_id": "id", "secret_access_key": "very-secret"})
}

/// As [`s3`], in host style: the bucket `127` at `127.0.0.1` needs no DNS.
fn oss(server: &Script) -> Value {
    json!({"url": "oss://127/some/prefix", "endpoint": server.url(""), "region": "oss-cn-shanghai",
           "credentials": {"kind": "static", "access_key_id": "id", "access_key_secret": "very-secret",
                           "security_token": "sts-token"}})
}

fn with(mut options: Value, more: &Value) -> Value {
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

fn archive(options: Value) -> Arc<dyn Sink> {
    build("archive", options, Surroundings::default()).unwrap()
}

async fn deliver(sink: &dyn Sink) -> Result<(), SinkError> {
    sink.deliver(&delivery(event_body(1))).await.map(drop)
}

/// A store that takes each object once; it answers `exists` to whoever comes with the same again.
fn once(exists: &'static [u8]) -> impl Fn(&Request) -> Vec<u8> {
    let taken = Mutex::<HashSet<String>>::default();
    move |request| {
        if request.method() == "HEAD" {
            return answer("404 Not Found", &[], "");
        }
        let is_new = taken.lock().unwrap().insert(request.path().to_owned());
        if is_new { answer("200 OK", &["etag: \"1\""], "") } else { exists.to_vec() }
    }
}

/// What was written, without the looks before the first of them.
fn puts(server: &Script) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.method() == "PUT").collect()
}

const EXISTS: &[u8] = b"HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n";

fn error(status: &str, code: &str) -> Vec<u8> {
    answer(status, &[], &format!("<Error><Code>{code}</Code><Message>as it is</Message></Error>"))
}

#[tokio::test]
async fn s3_gets_one_signed_conditional_put_below_the_prefix() {
    let server = Script::start(once(EXISTS)).await;
    deliver(archive(s3(&server)).as_ref()).await.unwrap();
    let request = &puts(&server)[0];
    let start = "PUT /events/some/prefix/events/date%3D2024-03-05/evt_1";
    assert!(request.head.starts_with(start), "{}", request.head);
    assert_eq!(request.header("if-none-match"), Some("*"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("authorization").unwrap().contains("/eu-1/s3/aws4_request"));
    for header in ["x-amz-security-token", "x-amz-storage-class", "x-amz-server-side-encryption"] {
        assert_eq!(request.header(header), None, "{header}");
    }
}

#[tokio::test]
async fn a_store_is_asked_once_whether_it_heeds_conditions() {
    let server = Script::start(once(EXISTS)).await;
    let sink = archive(s3(&server));
    for number in 1..4 {
        sink.deliver(&delivery(event_body(number))).await.unwrap();
    }
    let requests = puts(&server);
    assert_eq!(requests.len(), 4, "the first record twice, and each other once");
    assert_eq!((requests[0].path(), &requests[0].body), (requests[1].path(), &requests[1].body));
}

#[tokio::test]
async fn token_encryption_and_storage_class_are_said_with_each_write() {
    let check = async |more: Value, header: &str, expect: &str| {
        let server = Script::start(once(EXISTS)).await;
        deliver(archive(with(s3(&server), &more)).as_ref()).await.unwrap();
        let request = puts(&server).pop().unwrap();
        assert_eq!(request.header(header), Some(expect), "{header}");
        assert!(request.header("authorization").unwrap().contains(header), "{header} is not signed");
    };
    check(json!({"session_token": "t"}), "x-amz-security-token", "t").await;
    check(json!({"sse": "AES256"}), "x-amz-server-side-encryption", "AES256").await;
    check(json!({"sse": "aws:kms"}), "x-amz-server-side-encryption", "aws:kms").await;
    let kms = || json!({"sse": {"kms_key": "arn:aws:kms:eu-1:1:key/2"}});
    check(kms(), "x-amz-server-side-encryption", "aws:kms").await;
    check(kms(), "x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:eu-1:1:key/2").await;
    check(json!({"record_storage_class": "STANDARD_IA"}), "x-amz-storage-class", "STANDARD_IA").await;
}

#[tokio::test]
async fn records_and_images_have_storage_classes_of_their_own() {
    let content = Mutex::<Vec<u8>>::default();
    let server = Script::start(move |request| {
        let written = ["etag: \"1\"", "last-modified: Tue, 05 Mar 2024 09:12:58 GMT"];
        if request.header("if-none-match").is_some() {
            return EXISTS.to_vec();
        }
        let mut content = content.lock().unwrap();
        match (request.method(), request.path().split('?').nth(1)) {
            ("POST", Some("uploads=")) => answer("200 OK", &[], "<I><UploadId>1</UploadId></I>"),
            ("POST", _) => answer("200 OK", &[], "<C><ETag>1</ETag></C>"),
            ("PUT", _) => {
                content.clone_from(&request.body);
                answer("200 OK", &written, "")
            }
            _ => answer("200 OK", &written, &String::from_utf8_lossy(&content)),
        }
    })
    .await;
    let classes = json!({"record_storage_class": "STANDARD_IA", "image_storage_class": "GLACIER_IR"});
    archive(with(s3(&server), &classes)).check().await.unwrap();
    let requests = server.requests();
    let class = |method: &str| {
        let request = requests.iter().find(|request| request.method() == method).unwrap();
        request.header("x-amz-storage-class")
    };
    assert_eq!((class("PUT"), class("POST")), (Some("STANDARD_IA"), Some("GLACIER_IR")));
}

#[tokio::test]
async fn oss_is_told_not_to_overwrite_by_its_own_header_which_is_signed() {
    let exists = error("409 Conflict", "FileAlreadyExists").leak();
    let server = Script::start(once(exists)).await;
    let sink = archive(oss(&server));
    deliver(sink.as_ref()).await.unwrap();
    let requests = puts(&server);
    assert!(
        requests[0].path().starts_with("/some/prefix/events/date%3D2024-03-05/evt_1"),
        "the bucket is in the host"
    );
    assert_eq!(requests[0].header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(requests[0].header("x-oss-forbid-overwrite"), Some("true"));
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(requests[0].header("x-amz-security-token"), Some("sts-token"));
    let authorization = requests[0].header("authorization").unwrap();
    assert!(authorization.contains("/cn-shanghai/s3/aws4_request"), "{authorization}");
    assert!(authorization.contains("x-oss-forbid-overwrite"), "{authorization}");
}

#[tokio::test]
async fn a_store_that_does_not_know_conditions_is_looked_at_first() {
    let taken = Mutex::<HashSet<String>>::default();
    let id = delivery(event_body(1)).envelope.id.to_string();
    let record = json!({"schema": "urn:vodrelay:record:1", "event": {"id": id}, "images": [{}]}).to_string();
    let server = Script::start(move |request| match request.method() {
        _ if request.header("if-none-match").is_some() => error("501 Not Implemented", "NotImplemented"),
        "GET" => answer("200 OK", &["etag: \"1\"", "last-modified: Tue, 05 Mar 2024 09:12:58 GMT"], &record),
        "HEAD" if !taken.lock().unwrap().contains(request.path()) => answer("404 Not Found", &[], ""),
        "HEAD" => answer("200 OK", &["etag: \"1\"", "last-modified: Tue, 05 Mar 2024 09:12:58 GMT"], ""),
        _ => {
            taken.lock().unwrap().insert(request.path().to_owned());
            answer("200 OK", &["etag: \"1\""], "")
        }
    })
    .await;
    let sink = archive(s3(&server));
    deliver(sink.as_ref()).await.unwrap();
    let before = server.requests().len();
    deliver(sink.as_ref()).await.unwrap();
    let after: Vec<String> =
        server.requests()[before..].iter().map(|request| request.method().to_owned()).collect();
    assert_eq!(after, ["HEAD", "GET"], "it is remembered, and what stands there stays");
    let kept = server
        .requests()
        .into_iter()
        .filter(|request| request.method() == "PUT" && request.header("if-none-match").is_none());
    assert_eq!(kept.count(), 1);
}

/// Has an archive with these options keep an image and deliver its event again; the image is fetched once and kept.
async fn keep_an_image(bucket: &Bucket, options: Value) {
    let host = Script::start(|_| image(&gif(200, 100, 3))).await;
    let sink = sink(Path::new("."), options, &host, &json!({}));
    let event = event(1, &[host.url("/b.gif")], &json!({}));
    sink.deliver(&event).await.unwrap();
    sink.deliver(&event).await.unwrap();
    assert_eq!(host.requests().len(), 1);
    let contents = bucket.contents();
    let (_, record) = contents.objects.iter().find(|(key, _)| key.contains("events/date=")).unwrap();
    let record: Value = serde_json::from_slice(record).unwrap();
    assert_eq!(record["images"][0]["state"], "kept");
}

fn has_condition(request: &Request) -> bool {
    request.header("if-none-match").is_some() || request.header("if-match").is_some()
}

#[tokio::test]
async fn oss_sees_no_condition_that_it_does_not_know() {
    let bucket = Bucket::start_with(|request, contents| {
        assert!(!has_condition(request), "OSS answers 501 to that");
        let forbids = request.header("x-oss-forbid-overwrite").is_some();
        let exists = contents.objects.contains_key(&target(request).0);
        (forbids && exists).then(|| error("409 Conflict", "FileAlreadyExists"))
    })
    .await;
    // The server takes the first part of the path for the bucket.
    let options = with(oss(&bucket.server), &json!({"url": "oss://127/bucket/vod"}));
    keep_an_image(&bucket, options).await;
}

#[tokio::test]
async fn images_are_kept_where_conditions_are_unknown_or_ignored() {
    let unknown = Bucket::start_with(|request, _| {
        has_condition(request).then(|| error("501 Not Implemented", "NotImplemented"))
    });
    let ignored =
        Bucket::start_with(|request, contents| has_condition(request).then(|| contents.put(request)));
    for bucket in [unknown.await, ignored.await] {
        keep_an_image(&bucket, bucket.options()).await;
    }
}

#[tokio::test]
async fn what_others_note_meanwhile_stays_where_conditions_are_ignored() {
    let bucket = Bucket::start_with(|request, contents| {
        if target(request).0.starts_with("images/") {
            for record in contents.objects.values_mut().filter(|object| object.starts_with(b"{")) {
                *record = [br#"{"noted":"meanwhile","#, &record[1..]].concat();
            }
        }
        has_condition(request).then(|| contents.put(request))
    })
    .await;
    keep_an_image(&bucket, bucket.options()).await;
    let contents = bucket.contents();
    let record = contents.objects.values().find(|object| object.starts_with(b"{")).unwrap();
    assert!(record.starts_with(br#"{"noted":"meanwhile","#), "{}", String::from_utf8_lossy(record));
}

/// What the dispatcher is told of this answer.
async fn check_refused(options: impl Fn(&Script) -> Value, refusal: Vec<u8>, says: &str) {
    let server = Script::start(move |_| refusal.clone()).await;
    let sink = archive(options(&server));
    let error = deliver(sink.as_ref()).await.unwrap_err();
    assert!(matches!(error.retry, Retry::Temporary { .. }));
    assert!(error.message.starts_with("cannot write some/prefix/events/date=2024-03-05/evt_1"), "{error}");
    assert!(error.message.contains(says), "{error} does not say {says:?}");
    let printed = format!("{error:?} {sink:?}");
    assert!(!printed.contains("very-secret") && !printed.contains("sts-token"), "{printed}");
}

#[tokio::test]
async fn a_store_that_refuses_says_why_and_is_tried_again() {
    let check =
        async |status: &str, code: &str, says: &str| check_refused(s3, error(status, code), says).await;
    check(
        "403 Forbidden",
        "AccessDenied",
        "; the access key id lacks the right to do so: AccessDenied: as it is",
    )
    .await;
    check("403 Forbidden", "InvalidAccessKeyId", "the store does not know the access key id").await;
    check("403 Forbidden", "RequestTimeTooSkewed", "the clock of this machine is wrong").await;
    check("400 Bad Request", "ExpiredToken", "the token of the access key id has expired").await;
    check("404 Not Found", "NoSuchBucket", "there is no such bucket at this endpoint").await;
    check("409 Conflict", "ConditionalRequestConflict", "another write to it is under way").await;
    check("503 Service Unavailable", "SlowDown", "the store asks to slow down").await;
    check_refused(s3, answer("301 Moved Permanently", &[], ""), "the bucket is in another region").await;
    check_refused(s3, answer("507 Insufficient Storage", &[], "disk full"), "the store is full").await;
    check_refused(s3, Vec::new(), "in s3://events at http://127.0.0.1:").await;
    let path_style = error("403 Forbidden", "SecondLevelDomainForbidden");
    check_refused(s3, path_style, "the store wants the bucket in the host; leave path_style out").await;
    check_refused(oss, error("403 Forbidden", "AccessDenied"), "; the access key id lacks the right").await;
}

#[tokio::test]
async fn a_busy_store_is_asked_a_few_times_and_the_dispatcher_does_the_rest() {
    let server = Script::start(|_| error("503 Service Unavailable", "SlowDown")).await;
    let error = deliver(archive(s3(&server)).as_ref()).await.unwrap_err();
    assert_eq!((error.status, server.requests().len()), (Some(503), 3));
}

/// The access key that a request is signed with where the options have none.
async fn key_of(environment: &[(&str, &str)], server: &Script) -> String {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment: HashMap<String, String> = environment.collect();
    let surroundings = Surroundings { environment: Arc::new(environment), ..Surroundings::default() };
    let options = json!({"url": "s3://events/some/prefix", "path_style": true, "endpoint": server.url("")});
    deliver(build("archive", options, surroundings).unwrap().as_ref()).await.unwrap();
    let requests = server.requests();
    let put = requests
        .iter()
        .rfind(|request| request.method() == "PUT" && request.path().contains("evt_1"))
        .unwrap();
    let authorization = put.header("authorization").unwrap();
    let (_, credential) = authorization.split_once("Credential=").unwrap();
    let token = put.header("x-amz-security-token").unwrap_or("no token");
    format!("{} with {token}", credential.split(',').next().unwrap())
}

#[tokio::test]
async fn the_ordinary_chain_is_environment_container_and_instance() {
    let keys = r#"{"AccessKeyId": "lent", "SecretAccessKey": "s", "Token": "t", "SessionToken": "t",
                   "Code": "Success", "Type": "x", "LastUpdated": "", "Expiration": "2999-01-01T00:00:00Z"}"#;
    let server = Script::start(move |request| match request.path() {
        path if path.contains("evt_1") && request.method() == "HEAD" => answer("404 Not Found", &[], ""),
        path if path.contains("evt_1") => answer("200 OK", &["etag: \"1\""], ""),
        "/latest/api/token" => answer("200 OK", &[], "metadata-token"),
        "/latest/meta-data/iam/security-credentials/" => answer("200 OK", &[], "role"),
        _ => answer("200 OK", &[], keys),
    })
    .await;
    let named = [
        ("AWS_ACCESS_KEY_ID", "mine"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", "mine too"),
        ("AWS_REGION", "eu-1"),
    ];
    let day = jiff::Timestamp::now().strftime("%Y%m%d");
    assert_eq!(key_of(&named, &server).await, format!("mine/{day}/eu-1/s3/aws4_request with mine too"));

    let (uri, folder) = (server.url("/container"), tempfile::tempdir().unwrap());
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "pod").unwrap();
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_file.to_str().unwrap()),
    ];
    let lent = format!("lent/{day}/us-east-1/s3/aws4_request with t");
    assert_eq!(key_of(&container, &server).await, lent);
    assert!(server.requests().iter().any(|request| request.header("authorization") == Some("pod")));

    let metadata = server.url("");
    assert_eq!(key_of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str())], &server).await, lent);
}

#[tokio::test]
async fn keys_of_the_options_are_not_mixed_with_those_of_the_environment() {
    let server = Script::start(once(EXISTS)).await;
    let environment = HashMap::from([("AWS_SESSION_TOKEN".to_owned(), "of other keys".to_owned())]);
    let surroundings = Surroundings { environment: Arc::new(environment), ..Surroundings::default() };
    deliver(build("archive", s3(&server), surroundings).unwrap().as_ref()).await.unwrap();
    assert_eq!(puts(&server)[0].header("x-amz-security-token"), None);
}

#[tokio::test]
async fn the_endpoint_of_the_environment_has_the_bucket_too() {
    let server = Script::start(once(EXISTS)).await;
    let environment = HashMap::from([("AWS_ENDPOINT_URL".to_owned(), server.url(""))]);
    let surroundings = Surroundings { environment: Arc::new(environment), ..Surroundings::default() };
    let mut options = s3(&server);
    options.as_object_mut().unwrap().remove("endpoint");
    deliver(build("archive", options, surroundings).unwrap().as_ref()).await.unwrap();
    assert!(puts(&server)[0].path().starts_with("/events/some/prefix/"));
}

#[tokio::test]
async fn without_any_keys_the_message_says_where_they_were_looked_for() {
    let server = Script::start(once(EXISTS)).await;
    let environment =
        HashMap::from([("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned())]);
    let surroundings = Surroundings { environment: Arc::new(environment), ..Surroundings::default() };
    let options = json!({"url": "s3://events/some/prefix", "path_style": true, "endpoint": server.url("")});
    let error = deliver(build("archive", options, surroundings).unwrap().as_ref()).await.unwrap_err();
    let says = "; there are no keys to sign with: the instance metadata service, asked since neither \
                access_key_id nor AWS_ACCESS_KEY_ID is set, gives none: Connection refused";
    assert!(error.message.contains(says), "{error}");
    let mend = "; set access_key_id and secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    assert!(error.message.ends_with(mend), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_named() {
    let check = async |endpoint: &dyn Fn(&Script) -> Value, says: &str| {
        check_refused(|server| with(s3(server), &endpoint(server)), answer("200 OK", &[], "hello"), says)
            .await;
    };
    let no_store = "; what answers there does not speak S3; correct endpoint: ";
    check(&|_| json!({}), no_store).await;
    let plain = plain_http().await;
    let tls = |_: &Script| json!({"endpoint": format!("https://{plain}")});
    check(&tls, "; it speaks plain HTTP there; where that is meant, begin endpoint with http://: ").await;
    // A name that is reserved to have no address (RFC 6761).
    let nowhere = |_: &Script| json!({"endpoint": "http://nowhere.invalid:9000", "path_style": false});
    let says = "; the host events.nowhere.invalid has no address; correct endpoint, or set path_style = true where the \
                store wants the bucket in the path: ";
    check(&nowhere, says).await;
    let path_style = |_: &Script| json!({"endpoint": "http://nowhere.invalid:9000"});
    check(&path_style, "; the host nowhere.invalid has no address; correct endpoint: ").await;
}
