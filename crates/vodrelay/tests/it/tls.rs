//! Listeners that speak TLS, and certificates that are renewed while they do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use vodrelay_core::testing::event_body;

use crate::cli::check_in;
use crate::relay::{KEY, Process, callback, configuration, free_port, status, until, until_accepted};
use crate::reload::{log, reload, said};

/// A certificate for that name and the key to it, in the folder; answers the certificate.
fn issue(folder: &Path, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed([name.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn encrypted(http: SocketAddr, admin: SocketAddr) -> String {
    let tls = "cert = \"cert.pem\"\nkey = { file = \"key.pem\" }\n";
    configuration(http, admin) + "[http.tls]\n" + tls + "[admin.tls]\n" + tls
}

/// A client that takes that certificate alone, and keeps its connections.
fn knowing(cert: &str) -> reqwest::Client {
    let known = vodrelay_tls::knowing(cert).unwrap();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(known).build().unwrap()
}

async fn accepted(client: &reqwest::Client, to: SocketAddr, number: usize) {
    until_accepted(async || attempt(client, to, number).await).await;
}

async fn attempt(client: &reqwest::Client, to: SocketAddr, number: usize) -> Option<u16> {
    status(callback(client, &format!("https://{to}"), event_body(number), KEY)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_speak_tls_and_commands_know_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let cert = issue(folder.path(), "relay.example.com");
    let (http, admin) = (free_port(), free_port());
    let _relay = Process::start_with(folder.path(), &encrypted(http, admin), http, admin).await;
    let (client, began) = (knowing(&cert), Instant::now());

    // Hands that are never shaken hold nobody up, and are let go of as heads are.
    let slow = |address: SocketAddr| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[0x16, 0x03]).unwrap();
        stream
    };
    let slow_ones: Vec<TcpStream> = (0..100).map(|_| slow(http)).collect();
    let at_the_admin: Vec<TcpStream> = (0..80).map(|_| slow(admin)).collect();
    let closing = std::thread::spawn(move || {
        for mut stream in slow_ones {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "it is closed unanswered");
        }
        began.elapsed()
    });
    accepted(&client, http, 1).await;
    assert_eq!(attempt(&reqwest::Client::new(), http, 2).await, None, "to whom the certificate says nothing");

    let config = folder.path().join("vodrelay.toml");
    let config = config.to_str().unwrap();
    check_in(folder.path(), &["health", "--config", config], "", 0, "ok");
    check_in(folder.path(), &["sinks", "list", "--config", config], "", 0, "");
    check_in(folder.path(), &["trigger", "--callback", "main", "--config", config], "", 0, "accepted");
    let shown = "relay.example.com, 127.0.0.1";
    check_in(folder.path(), &["check", "--offline", "--config", config], "", 0, shown);

    let closed_after = closing.join().unwrap();
    assert!(closed_after < Duration::from_secs(9), "{closed_after:?}");
    drop(at_the_admin);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_without_a_connection_less_and_one_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let before = issue(folder, "before.example.com");
    let (http, admin) = (free_port(), free_port());
    let config = encrypted(http, admin);
    let relay = Process::start_with(folder, &config, http, admin).await;
    let old = knowing(&before);
    accepted(&old, http, 1).await;

    let after = issue(folder, "after.example.com");
    assert!(reload(&relay, folder, &config).await, "{}", log(folder));
    let new = knowing(&after);
    accepted(&new, http, 2).await;
    accepted(&old, http, 3).await; // its connection lives
    assert_eq!(attempt(&knowing(&before), http, 4).await, None);

    let key = std::fs::read(folder.join("key.pem")).unwrap();
    issue(folder, "other.example.com");
    std::fs::write(folder.join("key.pem"), key).unwrap();
    assert!(!reload(&relay, folder, &config).await);
    assert!(said(folder, "http.tls.key: is not the key of the certificate") > 0, "{}", log(folder));
    accepted(&knowing(&after), http, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_changes_is_shown_without_anybody_asking() {
    if !crate::slow_tests_are_asked_for() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    issue(folder, "before.example.com");
    let (http, admin) = (free_port(), free_port());
    let _relay = Process::start_with(folder, &encrypted(http, admin), http, admin).await;
    let client = knowing(&issue(folder, "after.example.com"));
    until("the renewal", Duration::from_secs(30), || said(folder, "was renewed") == 2).await;
    accepted(&client, http, 1).await;
    let ready = client.get(format!("https://{admin}/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
}
