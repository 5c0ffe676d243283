//! What a load balancer does at the least: the next connection goes to the other relay, or to this one where the other
//! takes none.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// Starts one before these two, and answers its address.
pub(crate) async fn start([one, other]: [SocketAddr; 2]) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        for turn in 0_u64.. {
            let Ok((near, _)) = listener.accept().await else { continue };
            let relays = if turn.is_multiple_of(2) { [one, other] } else { [other, one] };
            tokio::spawn(hand_on(near, relays));
        }
    });
    Ok(address)
}

async fn hand_on(mut near: TcpStream, relays: [SocketAddr; 2]) {
    for relay in relays {
        let Ok(mut far) = TcpStream::connect(relay).await else { continue };
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        return;
    }
}
