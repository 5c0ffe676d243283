//! What a supervisor hears of a relay that it started.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::relay::{Process, configuration, free_port};

/// A supervisor's ear.
pub(crate) struct Supervisor(UnixDatagram);

impl Supervisor {
    /// Starts the relay of the folder, and wants a sign of life at least each second.
    pub(crate) fn start(folder: &std::path::Path, config: &str) -> (Self, Process) {
        let (path, file) = (folder.join("notify"), folder.join("vodrelay.toml"));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
            .args(["serve", "--config"])
            .arg(&file)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        (Self(socket), Process::of(child))
    }

    /// What is said next, signs of life left out.
    pub(crate) fn hear(&self) -> String {
        loop {
            let said = self.hear_any();
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }

    fn hear_any(&self) -> String {
        let mut buffer = vec![0; 1024];
        let length = self.0.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        String::from_utf8(buffer).unwrap()
    }
}

#[test]
fn a_supervisor_hears_of_the_start_of_life_and_of_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (supervisor, mut relay) = Supervisor::start(folder.path(), &configuration(free_port(), free_port()));
    let ready = supervisor.hear_any();
    assert!(ready.starts_with("READY=1\nSTATUS=accepting events; callbacks: 1, "), "{ready}");
    for _ in 0..3 {
        assert_eq!(supervisor.hear_any(), "WATCHDOG=1");
    }
    relay.ask_to_stop();
    assert!(supervisor.hear().starts_with("STOPPING=1\n"));
    assert_eq!(relay.wait(), Some(0));
}
