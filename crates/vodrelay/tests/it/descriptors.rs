//! A relay with few descriptors, under more connections than it can have.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;
use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, until};

async fn flood(to: SocketAddr, connections: usize) -> Vec<TcpStream> {
    let mut flood = Vec::new();
    for _ in 0..connections {
        flood.push(TcpStream::connect(to).await.unwrap());
    }
    flood
}

/// The time that the process has worked, in hundredths of a second.
fn worked(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    // Behind the name: by itself, and by the system for it.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_run_out_cost_no_more_than_the_moment() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    // Both listeners together may take more than there are.
    let relay = Process::start_with_descriptors(folder.path(), receiver.address, 64).await;
    let client = client();
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    let failures = || log().matches("failed to accept").count();
    accepted(&client, relay.http, event_body(1)).await;
    until("the first delivery", Duration::from_secs(10), || receiver.count() == 1).await;

    let before = worked(&relay);
    let floods = (flood(relay.admin, 100).await, flood(relay.http, 100).await);
    until("a failure to accept", Duration::from_secs(10), || failures() > 0).await;
    sleep(Duration::from_secs(2)).await;
    let ticks = worked(&relay) - before;
    assert!(ticks < 100, "it works {ticks} ticks of 200 although there is nothing to do");
    assert!(failures() <= 2, "once for each listener:\n{}", log());
    drop(floods);

    for number in 2..10 {
        accepted(&client, relay.http, event_body(number)).await;
    }
    until("all deliveries", Duration::from_secs(20), || receiver.count() == 9).await;
    let ready = client.get(format!("http://{}/readyz", relay.admin)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(!log().contains("poisoned"), "{}", log());
}
