//! The relay under torture: its released binary, in a process of its own, kept running as a supervisor would.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::control::Control;
use crate::secrets::Secrets;
use crate::words::{CONTROL, DATA, DURABLE};

/// A relay takes up to twenty seconds to let deliveries end.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// As `RestartSec=` of our unit.
const RESTART_AFTER: Duration = Duration::from_millis(100);
/// As `Backlog=` of a socket unit: the most that the system has.
const QUEUE: i32 = i32::MAX;
const START_LIMIT: Duration = Duration::from_secs(60);

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) vodrelay: PathBuf,
    pub(crate) preload: PathBuf,
}

/// A relay; killed with this value.
#[derive(Debug)]
pub(crate) struct Relay {
    programs: Programs,
    pub(crate) folder: PathBuf,
    pub(crate) control: Control,
    secrets: Secrets,
    /// Whether what a power cut would leave is kept beside the files.
    pub(crate) keeps_copies: bool,
    /// Held by us, as a supervisor does, so that the kernel's queue takes connections whether a relay runs or not.
    socket: Option<TcpListener>,
    pub(crate) http: SocketAddr,
    child: Option<Child>,
}

pub(crate) const DATA_DIR: &str = "data";
/// What a power cut would leave.
pub(crate) const DURABLE_DIR: &str = "data.durable";
const LOG: &str = "log";

impl Relay {
    /// One whose callback socket is held by us.
    pub(crate) fn supervised(programs: &Programs, folder: &Path, secrets: &Secrets) -> Result<Self, String> {
        let socket = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        // The kernel's queue is as long as that of a supervisor, and longer than the one this library asks for.
        rustix::net::listen(&socket, QUEUE).map_err(|error| error.to_string())?;
        let http = socket.local_addr().map_err(|error| error.to_string())?;
        let mut relay = Self::listening(programs, folder, secrets, http)?;
        relay.socket = Some(socket);
        Ok(relay)
    }

    /// One that listens by itself.
    pub(crate) fn listening(
        programs: &Programs,
        folder: &Path,
        secrets: &Secrets,
        http: SocketAddr,
    ) -> Result<Self, String> {
        for name in [DATA_DIR, DURABLE_DIR] {
            let made = std::fs::create_dir_all(folder.join(name));
            made.map_err(|error| format!("cannot make {name} in {}: {error}", folder.display()))?;
        }
        let control = Control::create(&folder.join("control"))?;
        let (programs, folder, secrets) = (programs.clone(), folder.to_owned(), secrets.clone());
        Ok(Self { programs, folder, control, secrets, keeps_copies: false, socket: None, http, child: None })
    }

    pub(crate) fn configure(&self, text: &str) -> Result<(), String> {
        let path = self.folder.join("vodrelay.toml");
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Starts it, and does not wait.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join(LOG));
        let log = log.map_err(|error| format!("cannot open the log: {error}"))?;
        // The shell has the socket as its input, and hands it on as number 3.
        let mut command = Command::new("sh");
        command.arg("-c");
        match &self.socket {
            Some(socket) => {
                let socket = socket.try_clone().map_err(|error| error.to_string())?;
                command.arg(r#"LISTEN_PID=$$ LISTEN_FDS=1 LD_PRELOAD="$2" exec "$0" serve --config "$1" 3<&0 0</dev/null"#);
                command.stdin(OwnedFd::from(socket));
            }
            None => {
                command.arg(r#"LD_PRELOAD="$2" exec "$0" serve --config "$1""#).stdin(Stdio::null());
            }
        }
        command
            .args([&self.programs.vodrelay, &self.folder.join("vodrelay.toml"), &self.programs.preload])
            .envs(self.secrets.variables())
            .env(CONTROL, &self.control.path)
            .env(DATA, self.folder.join(DATA_DIR))
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        if self.keeps_copies {
            command.env(DURABLE, self.folder.join(DURABLE_DIR));
        }
        let child = command.spawn().map_err(|error| format!("the relay could not be started: {error}"))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts it again and again, as a supervisor does, until one stays.
    pub(crate) async fn start_until_it_stays(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.start()?;
            sleep(RESTART_AFTER).await;
            if self.ended()?.is_none() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the relay does not come up: {}", self.last_words()));
            }
        }
    }

    /// Waits until one takes connections that listens by itself.
    pub(crate) async fn until_it_listens(&self) -> Result<(), String> {
        let connected = async {
            while TcpStream::connect(self.http).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(START_LIMIT, connected)
            .await
            .map_err(|_| format!("the relay does not come up: {}", self.last_words()))
    }

    pub(crate) fn id(&self) -> Result<Pid, String> {
        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).ok_or_else(|| "no relay runs".to_owned())
    }

    pub(crate) async fn kill_9(&mut self) -> Result<(), String> {
        let child = self.child.as_mut().ok_or("no relay runs")?;
        child.kill().await.map_err(|error| format!("cannot kill the relay: {error}"))
    }

    /// SIGTERM; it has to end well.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        kill_process(self.id()?, Signal::TERM).map_err(|error| format!("cannot stop the relay: {error}"))?;
        let status = self.until_ended(STOP_LIMIT).await?.ok_or("the relay does not stop")?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the relay was asked to stop and ended with {status}: {}", self.last_words()))
    }

    /// How it ended, if it does within that time.
    pub(crate) async fn until_ended(&mut self, limit: Duration) -> Result<Option<ExitStatus>, String> {
        let child = self.child.as_mut().ok_or("no relay runs")?;
        match timeout(limit, child.wait()).await {
            Ok(status) => status.map(Some).map_err(|error| error.to_string()),
            Err(_) => Ok(None),
        }
    }

    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        let child = self.child.as_mut().ok_or("no relay runs")?;
        child.try_wait().map_err(|error| error.to_string())
    }

    /// Runs one of the relay's commands, with its environment and without what it suffers.
    pub(crate) async fn command(&self, words: &[&str]) -> Result<Output, String> {
        let mut command = Command::new(&self.programs.vodrelay);
        command.args(words).arg("--config").arg(self.folder.join("vodrelay.toml"));
        command.envs(self.secrets.variables()).stdin(Stdio::null());
        let output = command.output().await.map_err(|error| error.to_string())?;
        // What commands print is looked through for secrets, too.
        let said = [&*output.stdout, &output.stderr].concat();
        let path = self.folder.join(format!("said-by-{}", words.first().unwrap_or(&"nobody")));
        let write = || {
            std::io::Write::write_all(&mut OpenOptions::new().create(true).append(true).open(path)?, &said)
        };
        write().map_err(|error| format!("cannot write down what a command said: {error}"))?;
        Ok(output)
    }

    /// What its log says last.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
