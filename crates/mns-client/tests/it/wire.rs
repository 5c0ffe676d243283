//! What is on the wire: which connections, which headers, which bytes.

use std::time::Duration;

use aliyun_credentials::{CredentialProvider, Credentials, Secret};
use mns_client::{Client, Config, ErrorKind, Outgoing, ReceiptHandle, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::script::{Request, Script, client};

const DONE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn one_connection_serves_requests_that_follow_each_other_also_after_errors() {
    let script = Script::start(|request: &Request| {
        if request.head.starts_with("GET") {
            answer("404 Not Found", "<Error><Code>MessageNotExist</Code></Error>")
        } else {
            DONE.to_vec()
        }
    })
    .await;
    let queue = script.queue();
    for _ in 0..5 {
        assert!(queue.receive(Duration::ZERO).await.unwrap().messages.is_empty());
        queue.delete(&ReceiptHandle::new("1-a+/b==")).await.unwrap();
    }
    assert_eq!((script.connections(), script.seen().len()), (1, 10));
}

#[tokio::test]
async fn a_handle_goes_out_as_it_was_signed_and_a_put_without_a_body_says_so() {
    let script = Script::start(|_| DONE.to_vec()).await;
    let queue = script.queue();
    queue.delete(&ReceiptHandle::new("1-a+/b==")).await.unwrap();
    let error =
        queue.change_visibility(&ReceiptHandle::new("1-a"), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable, "an answer without the new handle is of no use");
    let seen = script.seen();
    assert!(
        seen[0]
            .head
            .starts_with("DELETE /queues/demo-q/messages?ReceiptHandle=1-a%2B%2Fb%3D%3D HTTP/1.1\r\n")
    );
    assert!(
        seen[1]
            .head
            .starts_with("PUT /queues/demo-q/messages?ReceiptHandle=1-a&VisibilityTimeout=1 HTTP/1.1\r\n")
    );
    assert_eq!(seen[1].header("content-length"), Some("0"));
}

#[tokio::test]
async fn a_batch_is_deleted_with_a_body() {
    let script = Script::start(|_| DONE.to_vec()).await;
    let results = script.queue().delete_batch(&[ReceiptHandle::new("1-a"), ReceiptHandle::new("1-b")]).await;
    assert_eq!(results.unwrap(), [Ok(()), Ok(())]);
    let seen = script.seen();
    assert_eq!(
        seen[0].body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ReceiptHandles xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\
         <ReceiptHandle>1-a</ReceiptHandle><ReceiptHandle>1-b</ReceiptHandle></ReceiptHandles>"
    );
    assert_eq!(seen[0].header("content-length"), Some(&*seen[0].body.len().to_string()));
}

#[tokio::test]
async fn the_token_of_temporary_keys_goes_along_and_nothing_secret_prints() {
    let script = Script::start(|_| DONE.to_vec()).await;
    let mut credentials = Credentials::new("STS.AK", "s3cret");
    credentials.security_token = Some(Secret::new("t0ken"));
    let config = Config::new(script.endpoint().parse().unwrap());
    let client = Client::new(config, CredentialProvider::fixed(credentials)).unwrap();
    let queue = client.queue("demo-q".parse().unwrap());
    client.delete_queue(queue.name()).await.unwrap();
    let seen = script.seen();
    assert_eq!(seen[0].header("security-token"), Some("t0ken"));
    assert!(seen[0].header("authorization").unwrap().starts_with("MNS STS.AK:"));
    let printed = format!("{client:?} {queue:?}");
    assert!(
        printed.contains("demo-q") && !printed.contains("s3cret") && !printed.contains("t0ken"),
        "{printed}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let script = Script::start(|_| {
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()
    })
    .await;
    let error = script.queue().send(&Outgoing::new("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unreadable, Some(302)));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let queue = client(&endpoint, Retry::never()).queue("demo-q".parse().unwrap());
    let (result, said) = tokio::join!(queue.attributes(), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        said
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(!String::from_utf8_lossy(&said).contains("MNS AK:"));
}

#[tokio::test]
async fn a_flood_is_not_read_to_its_end() {
    let script = Script::start(|_| answer("200 OK", &"<a/>".repeat(3 << 20))).await;
    let error = script.queue().receive(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert!(error.to_string().contains("longer than 8388608 bytes"), "{error}");
}
