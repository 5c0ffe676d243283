//! Where a supervisor holds the socket, a callback that comes while no relay runs waits for the next one.

use std::net::TcpListener;

use vodrelay_core::testing::event_body;

use crate::relay::{KEY, Process, attempt, client, configuration, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_no_relay_runs_waits_in_the_kernels_queue() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free_port();
    std::fs::write(folder.path().join("vodrelay.toml"), configuration(free_port(), admin)).unwrap();
    let to = socket.local_addr().unwrap();
    let waiting = tokio::spawn(async move { attempt(&client(), to, event_body(1), KEY).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut relay = Process::start_on(&socket, folder.path(), admin);
    assert_eq!(waiting.await.unwrap(), Some(200), "on its first attempt");
    assert_eq!(relay.terminate(), Some(0));
}
