//! `listen --forward` as a developer uses it, over restarts of the relay and of the receiver.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vod_event::{CallbackProof, Endpoint, NamedKey, PrivateKey};
use vodrelay_core::testing::event_body;

use crate::cli::check_in;
use crate::events::Running;
use crate::relay::{Process, accepted, client, configuration, free_port, until};

const PATIENCE: Duration = Duration::from_secs(30);
const OWN_KEY: &str = "DeveloperKey2026";
const OWN_URL: &str = "https://api.example.com/vod/callback";

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver at that address until it is told to go; it refuses the body that it is given.
async fn receiver(address: SocketAddr, seen: &Seen, refuses: Bytes) -> CancellationToken {
    let listener = TcpListener::bind(address).await.unwrap();
    let (stop, seen) = (CancellationToken::new(), Arc::clone(seen));
    let take = async move |headers: HeaderMap, body: Bytes| {
        let refused = body == refuses;
        seen.lock().unwrap().push((headers, body));
        if refused { StatusCode::BAD_REQUEST } else { StatusCode::NO_CONTENT }
    };
    let router = Router::new().route("/hook", post(take));
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
    stop
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_byte_for_byte_and_in_order_over_restarts_of_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin, own) = (free_port(), free_port(), free_port());
    let config = configuration(http, admin);
    let mut relay = Process::start_with(folder, &config, http, admin).await;
    let (client, seen) = (client(), Seen::default());
    let send = async |number| accepted(&client, http, event_body(number)).await;
    send(1).await;
    let forward = format!("http://{own}/hook");
    let words = ["listen", "--forward", &forward, "--vod-key-env", "OWN_KEY", "--vod-url", OWN_URL];
    let listening = Running::start(folder, &words, &[("OWN_KEY", OWN_KEY)]);
    until("the beginning", PATIENCE, || listening.told().contains("listening; events go to")).await;

    send(2).await;
    until("that the receiver is away", PATIENCE, || listening.told().contains("wait, and are tried again"))
        .await;
    send(3).await;
    assert_eq!(relay.terminate(), Some(0));
    let count = || seen.lock().unwrap().len();
    let stop = receiver(own, &seen, event_body(4)).await;
    // The body of the second is the relay's, which is away, or was fetched before.
    let _relay = Process::start_with(folder, &config, http, admin).await;
    until("both", PATIENCE, || count() == 2).await;
    for number in [4, 5] {
        send(number).await;
    }
    until("those after the restart", PATIENCE, || count() == 4).await;
    stop.cancel();
    let out = listening.out();
    let told = listening.told();
    assert!(
        told.contains("trying again until it is there") && told.contains("the relay is there again"),
        "{told}"
    );
    assert!(told.contains("the receiver is there again"), "{told}");
    assert!(out.contains("400 in") && out.contains("not 2xx: it is not sent again"), "{out}");

    let seen = seen.lock().unwrap().clone();
    let bodies: Vec<Bytes> = seen.iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(bodies, [2, 3, 4, 5].map(event_body), "in order, each once, and none of before");
    let headers = &seen[0].0;
    assert!(headers["webhook-id"].to_str().unwrap().starts_with("evt_1"), "{headers:?}");
    assert!(headers["vodrelay-received-at"].to_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let value = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let (timestamp, signature) = (CallbackProof::TIMESTAMP_HEADER, CallbackProof::SIGNATURE_HEADER);
    let proof = CallbackProof::from_headers(value(timestamp), value(signature)).unwrap();
    let endpoint = Endpoint {
        url: OWN_URL.to_owned(),
        keys: vec![NamedKey { name: "own".to_owned(), key: PrivateKey::new(OWN_KEY) }],
    };
    assert!(endpoint.verify(&proof, jiff::Timestamp::now(), Duration::from_secs(60)).is_ok());

    assert_eq!(listening.interrupt(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_why_it_does_not_begin_and_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin) = (free_port(), free_port());
    let config = configuration(http, admin);
    std::fs::write(folder.join("vodrelay.toml"), &config).unwrap();
    check_in(folder, &["listen"], "", 69, "does not answer: Connection refused");
    check_in(
        folder,
        &["listen", "--forward", "ftp://h/x"],
        "",
        64,
        "expected a URL like http://127.0.0.1:3000/hook",
    );
    let words = ["listen", "--forward", "http://h/x", "--vod-key-env", "NONE"];
    check_in(folder, &words, "", 64, "NONE");

    let mut relay = Process::start_with(folder, &config, http, admin).await;
    let listening = Running::start(folder, &["listen", "--json"], &[]);
    until("the beginning", PATIENCE, || listening.told().contains("listening; Ctrl-C ends it")).await;
    accepted(&client(), http, event_body(1)).await;
    until("the event", PATIENCE, || listening.out().contains(r#""seq":1"#)).await;
    // Whoever changes the token locks out whoever listens; that is said, and it ends.
    assert_eq!(relay.terminate(), Some(0));
    let guarded = config.replace("[admin]", "[admin]\ntoken = \"another-token-of-the-relay\"");
    let _relay = Process::start_with(folder, &guarded, http, admin).await;
    until("the end", PATIENCE, || listening.told().contains("no token of [admin]")).await;
    let told = listening.told();
    assert!(told.contains("stopped listening; events told: 1; to go on from here: --after 1"), "{told}");
}
