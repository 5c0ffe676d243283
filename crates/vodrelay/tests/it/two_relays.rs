//! Two relays behind one address, each with a journal of its own: where nobody holds the socket, one answers while the
//! other does not.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use vodrelay_core::testing::event_body;

use crate::load::Load;
use crate::number;
use crate::receiver::Receiver;
use crate::relay::{Process, until};

const SENDERS: usize = 32;
const BETWEEN: usize = 200;

/// What a load balancer does at the least: the next connection goes to the other relay, or to this one where the other
/// takes none.
async fn balance([one, other]: [SocketAddr; 2]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for turn in 0_u64.. {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                for relay in if turn % 2 == 0 { [one, other] } else { [other, one] } {
                    let Ok(mut far) = TcpStream::connect(relay).await else { continue };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    return;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_relays_one_may_be_killed_at_any_moment_and_no_callback_is_given_up() {
    let rounds = number("TORTURE_RESTARTS", 4);
    let receiver = Receiver::start().await;
    let folders = [(); 2].map(|()| TempDir::new().unwrap());
    let mut relays = Vec::new();
    for folder in &folders {
        relays.push(Process::start(folder.path(), receiver.address).await);
    }
    let address = balance([relays[0].http, relays[1].http]).await;
    let load = Load::start(SENDERS, address);
    let mut struck = usize::MAX;
    for round in 0..rounds {
        load.until_accepted(BETWEEN).await;
        struck = struck.min(load.in_flight());
        let relay = &mut relays[round % 2];
        if round % 4 < 2 {
            relay.kill_9();
        } else {
            assert_eq!(relay.terminate(), Some(0));
        }
        load.until_accepted(BETWEEN).await;
        let (http, admin) = (relay.http, relay.admin);
        *relay = Process::start_at(folders[round % 2].path(), receiver.address, http, admin).await;
    }
    let (accepted, given_up) = load.stop().await;
    let all_are_there = || (0..accepted).all(|event| receiver.has(&event_body(event)));
    until("the deliveries", Duration::from_secs(60), all_are_there).await;
    println!(
        "{rounds} ends of one relay of two, every other pair by kill -9, at least {struck} callbacks in flight at each: {accepted} \
         accepted, {given_up} given up by the sender, {} delivered, {} more than once",
        receiver.count(),
        receiver.deliveries() - receiver.count(),
    );
    assert!(struck > 0, "an end struck no load");
    assert_eq!(given_up, 0);
}
