//! Long polls: woken, timed, cancelled.

use std::time::Duration;

use aliyun_credentials::{CredentialProvider, Credentials};
use mns_client::{Client, Config, ErrorKind, Outgoing, Queue, Retry};
use mns_emulator::{Emulator, Fault, Operation, Settings, Visibility};

use crate::emulated::{emulated, frozen};
use crate::script::client;

const WAIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_message_wakes_a_poll() {
    let (emulator, queue) = emulated(frozen()).await;
    let sender = queue.clone();
    let (poll, _) = tokio::join!(queue.receive_batch(16, WAIT), async {
        emulator.wait_for_polls(1).await;
        sender.send(&Outgoing::new("a")).await.unwrap();
    });
    assert_eq!(poll.unwrap().messages[0].body, "a");
    assert_eq!(emulator.ledger().empty_polls(), 0);
}

#[tokio::test]
async fn idle_for_ten_minutes_costs_one_request_for_each_wait() {
    let (emulator, queue) = emulated(Settings { max_skew: None, ..frozen() }).await;
    let polling = async {
        loop {
            let poll = queue.receive_batch(16, WAIT).await.unwrap();
            assert!(poll.messages.is_empty());
        }
    };
    let time = async {
        for _ in 0..20 {
            emulator.wait_for_polls(1).await;
            emulator.advance(WAIT).await;
        }
        emulator.wait_for_polls(1).await;
    };
    tokio::select! {
        () = polling => {}
        () = time => {}
    }
    let ledger = emulator.ledger();
    assert_eq!((ledger.empty_polls(), ledger.requests()), (20, 21), "and one that still waits");
}

#[tokio::test]
async fn a_poll_that_ends_long_before_its_time_says_so() {
    let (emulator, queue) = emulated(frozen()).await;
    emulator.inject(Fault::EarlyEmpty.always().times(1));
    let poll = queue.receive(WAIT).await.unwrap();
    assert!(poll.is_early() && poll.wait == WAIT && poll.took < Duration::from_secs(5));
    let short = queue.receive(Duration::ZERO).await.unwrap();
    assert!(short.messages.is_empty() && !short.is_early(), "it did not ask to wait");
    emulator.send("orders", "a").unwrap();
    assert!(!queue.receive(WAIT).await.unwrap().is_early(), "it found something");
}

/// Begins a long poll, waits until the emulator has it, and drops it.
async fn cancelled(emulator: &Emulator, queue: &Queue) {
    tokio::select! {
        poll = queue.receive_batch(16, WAIT) => panic!("{poll:?}"),
        () = emulator.wait_for_polls(1) => {}
    }
}

#[tokio::test]
async fn a_poll_that_is_dropped_ends_at_the_service_too_and_takes_no_message() {
    let (emulator, queue) = emulated(frozen()).await;
    for _ in 0..20 {
        cancelled(&emulator, &queue).await;
        emulator.wait_for_no_polls().await;
        queue.send(&Outgoing::new("a")).await.unwrap();
        let poll = queue.receive(Duration::ZERO).await.unwrap();
        assert_eq!(poll.messages[0].dequeue_count, 1);
        queue.delete(&poll.messages[0].receipt_handle).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_crosses_with_a_cancellation_is_not_lost() {
    let (emulator, queue) = emulated(frozen()).await;
    for _ in 0..50 {
        cancelled(&emulator, &queue).await;
        // At once: the connection may still stand.
        queue.send(&Outgoing::new("a")).await.unwrap();
        emulator.wait_for_no_polls().await;
        let state = emulator.messages("orders").remove(0);
        if state.visibility != Visibility::Active {
            emulator.clock().advance(WAIT);
        }
        let poll = queue.receive(Duration::ZERO).await.unwrap();
        assert_eq!(poll.messages.len(), 1);
        queue.delete(&poll.messages[0].receipt_handle).await.unwrap();
    }
}

#[tokio::test]
async fn polls_hold_up_nothing_else() {
    let (emulator, queue) = emulated(frozen()).await;
    let polls: Vec<_> = (0..32)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.receive(WAIT).await })
        })
        .collect();
    emulator.wait_for_polls(32).await;
    for number in 0..32 {
        queue.send(&Outgoing::new(number.to_string())).await.unwrap();
    }
    let mut bodies = Vec::new();
    for poll in polls {
        bodies.push(poll.await.unwrap().unwrap().messages.remove(0).body.parse::<u32>().unwrap());
    }
    bodies.sort_unstable();
    assert_eq!(bodies, (0..32).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_poll_may_last_as_long_as_its_wait_and_the_time_limit_together() {
    let (emulator, _) = emulated(frozen()).await;
    let mut config = Config::new(emulator.endpoint().parse().unwrap());
    (config.timeout, config.retry) = (Duration::from_millis(100), Retry::never());
    let client = Client::new(config, CredentialProvider::fixed(Credentials::new("AK", "SK"))).unwrap();
    let queue = client.queue("orders".parse().unwrap());
    // Time stands still there, so only the limit here ends the poll.
    let started = tokio::time::Instant::now();
    let error = queue.receive(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Timeout, true));
    assert!(started.elapsed() >= Duration::from_millis(1100), "{:?}", started.elapsed());
    emulator.inject(Fault::Slow.always().on(Operation::SendMessage));
    let error = queue.send(&Outgoing::new("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.to_string().contains(&format!("no answer in time from {}", emulator.endpoint())),
        "{error}"
    );
}

#[tokio::test]
async fn the_end_of_the_service_ends_a_poll() {
    let (emulator, queue) = emulated(frozen()).await;
    let endpoint = emulator.endpoint();
    let polling = tokio::spawn(async move { queue.receive(WAIT).await });
    emulator.wait_for_polls(1).await;
    emulator.stop().await;
    let error = polling.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let error =
        client(&endpoint, Retry::never()).queue("orders".parse().unwrap()).receive(WAIT).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Connect, true));
    assert!(error.to_string().contains(&format!("cannot connect to {endpoint}: ")), "{error}");
}
