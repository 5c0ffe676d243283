//! Processes that are measured: each ends with its value, and all of them with this process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::Instant;

/// A relay takes up to twenty seconds to let deliveries end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// In which Linux counts a process's time, whatever its own clock does.
const TICKS_A_SECOND: f64 = 100.0;

static CHILDREN: Mutex<Children> = Mutex::new(Children { running: Vec::new(), over: false });

#[derive(Debug)]
struct Children {
    running: Vec<Child>,
    over: bool,
}

fn children() -> MutexGuard<'static, Children> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills everything that still runs; nothing can be started afterwards.
pub(crate) fn end_all() {
    let mut children = children();
    children.over = true;
    children.running.drain(..).for_each(kill);
}

fn kill(mut child: Child) {
    // One that has ended already is as good.
    let _ = child.kill();
    let _ = child.wait();
}

/// A process; killed with this value.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let mut children = children();
        if children.over {
            return Err("the bench is over".to_owned());
        }
        let child = command
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", command.get_program().display()))?;
        let id = child.id();
        children.running.push(child);
        Ok(Self { id })
    }

    /// Starts this program with these words.
    pub(crate) fn start_this(words: &[&OsStr]) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        Self::start(Command::new(this).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// Starts this program as one of its servers, and waits until it says on which port.
    pub(crate) fn start_server(name: &str, words: &[&OsStr]) -> Result<(Self, SocketAddr), String> {
        let process = Self::start_this(&[&[OsStr::new(name)], words].concat())?;
        let out = process.with(|child| child.stdout.take()).flatten().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map_err(|error| format!("{name}: {error}"))?;
        let port = line.trim().parse().map_err(|_| format!("{name} printed {line:?} instead of its port"))?;
        Ok((process, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(self) -> Result<(), String> {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw).ok_or("no such process")?;
        kill_process(pid, Signal::TERM)
            .map_err(|error| format!("cannot stop process {}: {error}", self.id))?;
        self.finish(STOP_LIMIT)
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn finish(self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the process ended with {status}")),
                None => sleep(Duration::from_millis(5)),
            }
        }
        Err(format!("the process did not end within {limit:?}"))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Result<Option<ExitStatus>, String> {
        let waited = self.with(Child::try_wait).ok_or("the bench is over")?;
        waited.map_err(|error| error.to_string())
    }

    pub(crate) fn memory(&self) -> Result<Memory, String> {
        let path = format!("/proc/{}/status", self.id);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no figure of memory")?;
            let kib: u64 =
                line.trim_end_matches("kB").trim().parse().map_err(|_| "a figure of memory that is none")?;
            Ok::<_, String>(kib * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }

    /// The processor's time that it has used so far, of all its threads, in the kernel and outside.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let path = format!("/proc/{}/stat", self.id);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        // The name in brackets may hold blanks; the user's and the kernel's ticks are the 12th and 13th word after it.
        let after = text.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS_A_SECOND))
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Child) -> T) -> Option<T> {
        children().running.iter_mut().find(|child| child.id() == self.id).map(ask)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut children = children();
        if let Some(place) = children.running.iter().position(|child| child.id() == self.id) {
            kill(children.running.swap_remove(place));
        }
    }
}
