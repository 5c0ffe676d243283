//! What a supervisor is told (`sd_notify(3)`): that the relay is ready, reloads, stops, and that it is alive.
//!
//! A process that runs is not one that works. So the sign of life is given only after the journal has answered: each of
//! its threads, by way of the runtime that everything else runs on. Whatever of these is stuck, the sign stays out, and
//! the supervisor starts the relay anew.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{interval, timeout};

/// A supervisor that reads nothing holds nobody up for longer.
const PATIENCE: Duration = Duration::from_millis(250);

/// Whoever started the relay, if it wants to be told anything.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Without a sign of life for so long it ends the relay.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment tells of, to a process with that id.
    pub(crate) fn of(environment: &HashMap<String, String>, pid: u32) -> Self {
        let Some(name) = environment.get("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let socket = connect(name).inspect_err(|error| {
            tracing::warn!(%error, socket = name, "$NOTIFY_SOCKET cannot be used, so the supervisor is told nothing");
        });
        Self { socket: socket.ok(), watchdog: watchdog(environment, pid) }
    }

    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// To be followed by [`Supervisor::ready`], whatever comes of it.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration again"));
    }

    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping: what is in hand is finished first");
    }

    /// Gives a sign of life each time that `pulse` has come back, for ever, or until it fails: then the relay is about
    /// to end by itself.
    pub(crate) async fn watch<P, E>(&self, pulse: impl Fn() -> P)
    where
        P: Future<Output = Result<(), E>>,
    {
        let Some(limit) = self.watchdog else { return };
        let mut tick = interval(limit / 4);
        loop {
            tick.tick().await;
            let mut pulse = pin!(pulse());
            let answered = match timeout(limit / 2, pulse.as_mut()).await {
                Ok(answered) => answered,
                Err(_) => {
                    tracing::error!(
                        watchdog = ?limit,
                        "the journal does not answer; when the watchdog's time is over, the supervisor starts the relay anew"
                    );
                    self.tell("STATUS=stuck: the journal does not answer");
                    let answered = pulse.await;
                    self.tell("STATUS=the journal answers again, and took long");
                    answered
                }
            };
            if answered.is_err() {
                return;
            }
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::debug!(%error, "the supervisor could not be told");
        }
    }
}

fn connect(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => abstract_address(name)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => return Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor abstract")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract addresses are there on Linux alone"))
}

/// The time between two signs of life at most, where they are wanted of this process.
fn watchdog(environment: &HashMap<String, String>, pid: u32) -> Option<Duration> {
    let is_meant = environment.get("WATCHDOG_PID").is_none_or(|of| *of == pid.to_string());
    let micros: u64 = environment.get("WATCHDOG_USEC")?.parse().ok()?;
    (is_meant && micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use tokio::time::sleep;

    use super::*;

    const PID: u32 = 7;

    fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// A supervisor that listens at a path, and what tells of it.
    fn listening(folder: &Path, more: &[(&str, &str)]) -> (UnixDatagram, Supervisor) {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut told = environment(more);
        told.insert("NOTIFY_SOCKET".to_owned(), path.to_str().unwrap().to_owned());
        (socket, Supervisor::of(&told, PID))
    }

    #[test]
    fn a_supervisor_hears_of_each_change_at_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, supervisor) = listening(folder.path(), &[]);
        supervisor.ready("2 sinks");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=2 sinks");
        supervisor.reloading();
        let reloading = heard(&socket);
        let micros = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(reloading.starts_with("RELOADING=1\n") && micros.parse::<u64>().unwrap() > 0, "{reloading}");
        supervisor.stopping();
        assert!(heard(&socket).starts_with("STOPPING=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_supervisor_hears_at_an_abstract_address() {
        let name = format!("vodrelay-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&abstract_address(&name).unwrap()).unwrap();
        let told = environment(&[("NOTIFY_SOCKET", &format!("@{name}"))]);
        Supervisor::of(&told, PID).ready("");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=");
    }

    #[test]
    fn signs_of_life_are_given_where_they_are_wanted_of_this_process() {
        let check = |pairs: &[(&str, &str)], expect: Option<u64>| {
            let found = watchdog(&environment(pairs), PID);
            assert_eq!(found, expect.map(Duration::from_micros), "{pairs:?}");
        };
        check(&[], None);
        check(&[("WATCHDOG_USEC", "60000000")], Some(60_000_000));
        check(&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "7")], Some(60_000_000));
        check(&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "8")], None);
        check(&[("WATCHDOG_USEC", "0")], None);
        check(&[("WATCHDOG_USEC", "soon")], None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_stuck_gives_no_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, supervisor) = listening(folder.path(), &[("WATCHDOG_USEC", "4000000")]);
        let beats = Cell::new(0);
        let pulse = async || {
            beats.set(beats.get() + 1);
            match beats.get() {
                // Slow, and alive.
                2 => sleep(Duration::from_millis(2_900)).await,
                3 => std::future::pending().await,
                _ => {}
            }
            Ok::<(), ()>(())
        };
        assert!(timeout(Duration::from_secs(60), supervisor.watch(pulse)).await.is_err());
        for expect in
            ["WATCHDOG=1", "STATUS=stuck", "STATUS=the journal answers again", "WATCHDOG=1", "STATUS=stuck"]
        {
            let said = heard(&socket);
            assert!(said.starts_with(expect), "{said}");
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err(), "nothing after that");
    }
}
