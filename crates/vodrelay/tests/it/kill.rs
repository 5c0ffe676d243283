//! kill -9 in the middle of a load by a sender that keeps the provider's contract: nothing acknowledged is missing,
//! and no body differs by a byte.
//!
//! `RUN_SLOW_TESTS=1` runs it; `TORTURE_EVENTS` and `TORTURE_KILLS` make it longer (`cargo xtask torture` does).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vodrelay_core::testing::event_body;

use crate::number;
use crate::receiver::Receiver;
use crate::relay::{Process, client, send_as_vod, until};

/// Requests that must be in flight when the relay is killed, so that the kill strikes something.
const IN_FLIGHT: usize = 50;
const SENDERS: usize = 128;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_after_kill_9() {
    if !crate::slow_tests_are_asked_for() {
        return;
    }
    let (events, kills) = (number("TORTURE_EVENTS", 6000), number("TORTURE_KILLS", 3));
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut relay = Process::start(folder.path(), receiver.address).await;
    let (http, admin) = (relay.http, relay.admin);

    let next = Arc::new(AtomicUsize::new(0));
    let in_flight = Arc::new(AtomicUsize::new(0));
    let client = client();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (next, in_flight, client) = (Arc::clone(&next), Arc::clone(&in_flight), client.clone());
            tokio::spawn(async move {
                let (mut acknowledged, mut given_up) = (Vec::new(), 0);
                loop {
                    let event = next.fetch_add(1, Ordering::SeqCst);
                    if event >= events {
                        return (acknowledged, given_up);
                    }
                    in_flight.fetch_add(1, Ordering::SeqCst);
                    let yes = send_as_vod(&client, http, event_body(event)).await;
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    if yes { acknowledged.push(event) } else { given_up += 1 }
                }
            })
        })
        .collect();

    let started = Instant::now();
    for kill in 1..=kills {
        let strike_at = events * kill / (kills + 1);
        let due =
            || next.load(Ordering::SeqCst) >= strike_at && in_flight.load(Ordering::SeqCst) >= IN_FLIGHT;
        until("the moment to strike", Duration::from_secs(300), due).await;
        let struck = in_flight.load(Ordering::SeqCst);
        relay.kill_9();
        println!(
            "kill -9 number {kill}: after {} events, {struck} requests in flight",
            next.load(Ordering::SeqCst)
        );
        assert!(struck >= IN_FLIGHT, "the kill struck {struck} requests only");
        relay = Process::start_at(folder.path(), receiver.address, http, admin).await;
    }

    let (mut acknowledged, mut given_up) = (Vec::new(), 0);
    for sender in senders {
        let (yes, no) = sender.await.unwrap();
        acknowledged.extend(yes);
        given_up += no;
    }
    let bodies: Vec<_> = acknowledged.iter().map(|event| event_body(*event)).collect();
    let deadline = Instant::now() + Duration::from_secs(180);
    let missing = loop {
        let missing = bodies.iter().filter(|body| !receiver.has(body)).count();
        if missing == 0 || Instant::now() > deadline {
            break missing;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let sent: HashSet<_> = (0..events).map(event_body).collect();
    let altered = receiver.bodies().iter().filter(|body| !sent.contains(*body)).count();
    println!(
        "{events} events, {kills} kills: {} acknowledged, {given_up} given up by the sender, {missing} missing, {altered} altered, \
         {} delivered more than once, {:.1} s",
        acknowledged.len(),
        receiver.deliveries() - receiver.count(),
        started.elapsed().as_secs_f64(),
    );
    assert_eq!((missing, altered), (0, 0));
}
