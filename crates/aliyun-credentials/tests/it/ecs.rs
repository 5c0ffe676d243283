//! The RAM role of an instance, against a metadata service that behaves and misbehaves.

use std::time::Duration;

use aliyun_credentials::{CredentialError, CredentialSource, Credentials, EcsRamRole, ErrorKind, Secret};

use crate::check_error;
use crate::metadata::{Play, Service, answer};

const KEYS: &str = r#"{"AccessKeyId": "STS.id", "AccessKeySecret": "s3cret", "Expiration": "2026-11-24T12:00:00Z",
    "SecurityToken": "s3cret-token", "LastUpdated": "2026-11-24T06:00:00Z", "Code": "Success"}"#;
const ROLES: &str = "GET /latest/meta-data/ram/security-credentials/ HTTP/1.1";
const ROLE: &str = "GET /latest/meta-data/ram/security-credentials/relay-role HTTP/1.1";
const TOKEN: &str = "PUT /latest/api/token HTTP/1.1";

/// In hardened mode: 403 without the token.
fn hardened(head: &str) -> Play {
    let lower = head.to_ascii_lowercase();
    let has_token = lower.contains("x-aliyun-ecs-metadata-token: t0ken\r\n");
    match head.lines().next().unwrap() {
        TOKEN if lower.contains("x-aliyun-ecs-metadata-token-ttl-seconds: 60\r\n") => {
            answer("200 OK", "t0ken\n")
        }
        ROLES if has_token => answer("200 OK", "relay-role"),
        ROLE if has_token => answer("200 OK", KEYS),
        _ => answer("403 Forbidden", "s3cret"),
    }
}

/// In plain mode, of an age that knows no tokens.
fn plain(head: &str) -> Play {
    match head.lines().next().unwrap() {
        ROLES => answer("200 OK", "relay-role\n"),
        ROLE => answer("200 OK", KEYS),
        _ => answer("404 Not Found", "s3cret"),
    }
}

fn role(service: &Service) -> EcsRamRole {
    EcsRamRole::new().with_endpoint(&service.endpoint).with_time_limit(Duration::from_millis(200))
}

fn expected() -> Credentials {
    Credentials {
        security_token: Some(Secret::new("s3cret-token")),
        expires_at: Some("2026-11-24T12:00:00Z".parse().unwrap()),
        ..Credentials::new("STS.id", "s3cret")
    }
}

/// What comes of a service that answers this to a request for the keys, and behaves otherwise.
async fn fetch_against(
    keys: impl Fn() -> Play + Send + Sync + 'static,
) -> Result<Credentials, CredentialError> {
    let service = Service::start(move |head| if head.starts_with(ROLE) { keys() } else { plain(head) }).await;
    role(&service).with_role_name("relay-role").fetch().await
}

#[tokio::test]
async fn hardened_mode_is_tried_first() {
    let service = Service::start(hardened).await;
    assert_eq!(role(&service).fetch().await.unwrap(), expected());
    assert_eq!(service.lines(), [TOKEN, ROLES, ROLE]);
    let host = service.endpoint.trim_start_matches("http://");
    assert!(
        service.heads().iter().all(|head| head.contains(&format!("host: {host}\r\n"))),
        "{:?}",
        service.heads()
    );
}

#[tokio::test]
async fn plain_mode_is_fallen_back_on() {
    let service = Service::start(plain).await;
    assert_eq!(role(&service).fetch().await.unwrap(), expected());
    assert_eq!(service.lines(), [TOKEN, ROLES, ROLE]);
    assert!(service.heads()[1..].iter().all(|head| !head.to_ascii_lowercase().contains("token:")));
}

#[tokio::test]
async fn a_token_that_hangs_or_is_none_is_done_without() {
    for odd in [|| Play::Hang, || answer("200 OK", "<html> not a token"), || answer("200 OK", "")] {
        let service =
            Service::start(move |head| if head.starts_with("PUT") { odd() } else { plain(head) }).await;
        assert_eq!(role(&service).with_role_name("relay-role").fetch().await.unwrap(), expected());
        assert_eq!(service.lines(), [TOKEN, ROLE]);
        assert!(!service.heads()[1].contains("metadata-token"), "{:?}", service.heads());
    }
}

#[tokio::test]
async fn an_instance_without_a_role_is_told_so() {
    for none in [|| answer("404 Not Found", ""), || answer("200 OK", "\n")] {
        let service = Service::start(move |_| none()).await;
        check_error(role(&service).fetch().await, ErrorKind::Missing, "no RAM role; attach one");
    }
    let missing = fetch_against(|| answer("404 Not Found", "s3cret")).await;
    check_error(missing, ErrorKind::Missing, "no RAM role \"relay-role\"");
}

#[tokio::test]
async fn a_service_that_will_not() {
    let service = Service::start(|_| answer("403 Forbidden", "s3cret")).await;
    check_error(role(&service).fetch().await, ErrorKind::Refused, "403 Forbidden");
    let hardened = Service::start(|head| {
        if head.starts_with("PUT") { answer("200 OK", "t") } else { answer("403 Forbidden", "") }
    });
    check_error(role(&hardened.await).fetch().await, ErrorKind::Refused, "metadata options");
    let code = fetch_against(|| answer("200 OK", r#"{"Code": "Failed", "Message": "s3cret"}"#)).await;
    check_error(code, ErrorKind::Refused, "Failed");
    check_error(fetch_against(|| answer("503 Busy", "")).await, ErrorKind::Unreachable, "503");
    // A redirect is an answer like any other; nobody follows it.
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let redirected = fetch_against(|| Play::Send(redirect.into())).await;
    check_error(redirected, ErrorKind::Refused, "302 Found");
}

#[tokio::test]
async fn a_service_that_is_none() {
    check_error(fetch_against(|| Play::Hang).await, ErrorKind::Unreachable, "200 ms have passed");
    check_error(fetch_against(|| Play::Send(Vec::new())).await, ErrorKind::Unreachable, "does not answer");
    check_error(
        fetch_against(|| Play::Send(b"s3cret\r\n\r\n".into())).await,
        ErrorKind::Unreachable,
        "answer",
    );
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"AccessKeySecret\": \"s3cret";
    check_error(fetch_against(|| Play::Send(cut.into())).await, ErrorKind::Unreachable, "does not answer");
    check_error(
        fetch_against(|| answer("200 OK", "<html>s3cret")).await,
        ErrorKind::Malformed,
        "is not JSON",
    );
    check_error(fetch_against(|| answer("200 OK", "{}")).await, ErrorKind::Malformed, "Expiration");
    let huge = "s3cret".repeat(1 << 18);
    let huge = fetch_against(move || answer("200 OK", &huge)).await;
    check_error(huge, ErrorKind::Malformed, "more than 65536 bytes");
    let endless = || Play::Send([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b' '; 1 << 20]].concat());
    check_error(fetch_against(endless).await, ErrorKind::Malformed, "more than 65536 bytes");
}

#[tokio::test]
async fn nobody_there_is_found_out_by_one_request() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = EcsRamRole::new().with_endpoint(format!("http://{closed}"));
    check_error(nobody.fetch().await, ErrorKind::Unreachable, "exists only on ECS instances");
    for odd in ["https://127.0.0.1", "127.0.0.1:80", "http://127.0.0.1/path", "http://", ""] {
        let fetched = EcsRamRole::new().with_endpoint(odd).fetch().await;
        check_error(fetched, ErrorKind::Malformed, "not like http://host:port");
    }
}

#[tokio::test]
async fn a_role_name_cannot_leave_its_path() {
    let service = Service::start(|head| {
        if head.starts_with(ROLES) { answer("200 OK", "../../user-data") } else { plain(head) }
    })
    .await;
    check_error(role(&service).fetch().await, ErrorKind::Malformed, "not the name of a RAM role");
    for odd in ["a/b", "a b", "a\r\nb", "", "..", "ä"] {
        let fetched = role(&service).with_role_name(odd).fetch().await;
        check_error(fetched, ErrorKind::Malformed, "not the name of a RAM role");
    }
}
