//! Restarts under load, where a supervisor holds the socket: no callback is given up, and none is lost.
//!
//! `TORTURE_RESTARTS` makes it longer (`cargo xtask torture` does).

use std::net::TcpListener;
use std::time::Duration;

use tokio::time::Instant;
use vodrelay_core::testing::event_body;

use crate::load::Load;
use crate::number;
use crate::receiver::Receiver;
use crate::relay::{Process, attempt, client, configuration, free_port, until, webhook};

const SENDERS: usize = 32;
/// Callbacks that are accepted between two restarts, so that each strikes a load.
const BETWEEN: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn graceful_restarts_cost_no_callback_where_a_supervisor_holds_the_socket() {
    let restarts = number("TORTURE_RESTARTS", 3);
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let (unused, admin) = (free_port(), free_port());
    let config = configuration(unused, admin) + &webhook(receiver.address);
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();

    let mut relay = Process::start_on(&socket, folder.path(), admin);
    let load = Load::start(SENDERS, relay.http);
    let (mut worst, mut struck) = (Duration::ZERO, usize::MAX);
    for _ in 0..restarts {
        load.until_accepted(BETWEEN).await;
        struck = struck.min(load.in_flight());
        relay.ask_to_stop();
        let stopped = tokio::task::spawn_blocking(move || relay.wait()).await.unwrap();
        assert_eq!(stopped, Some(0));
        let begun = Instant::now();
        relay = Process::start_on(&socket, folder.path(), admin);
        load.until_accepted(1).await;
        worst = worst.max(begun.elapsed());
    }
    let (accepted, given_up) = load.stop().await;
    let all_are_there = || (0..accepted).all(|event| receiver.has(&event_body(event)));
    until("the deliveries", Duration::from_secs(60), all_are_there).await;
    println!(
        "{restarts} graceful restarts, at least {struck} callbacks in flight at each: {accepted} accepted, {given_up} given up by \
         the sender, {} delivered, {} more than once, at most {} ms from a start to its first answer",
        receiver.count(),
        receiver.deliveries() - receiver.count(),
        worst.as_millis(),
    );
    assert!(struck > 0, "a restart struck no load");
    assert_eq!(given_up, 0);
    assert_eq!(relay.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_no_relay_runs_waits_in_the_kernels_queue() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free_port();
    std::fs::write(folder.path().join("vodrelay.toml"), configuration(free_port(), admin)).unwrap();
    let to = socket.local_addr().unwrap();
    let waiting = tokio::spawn(async move { attempt(&client(), to, event_body(1), crate::relay::KEY).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut relay = Process::start_on(&socket, folder.path(), admin);
    assert_eq!(waiting.await.unwrap(), Some(200), "on its first attempt");
    assert_eq!(relay.terminate(), Some(0));
}
