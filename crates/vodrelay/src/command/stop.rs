//! Being asked to stop: Ctrl-C, or SIGTERM from whatever runs the command.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until somebody asks.
pub(crate) async fn until_asked_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
