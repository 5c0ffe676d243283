//! `events` as an operator uses it: a list by filters, and what comes, over a restart.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, free_port, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// A command that runs on by itself, and what it prints.
pub(crate) struct Running {
    child: Child,
    out: std::path::PathBuf,
    told: std::path::PathBuf,
}

impl Running {
    pub(crate) fn start(folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let name = words.first().copied().unwrap_or("command");
        let (out, told) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.told")));
        let child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
            .args(words)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&told).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, told }
    }

    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn told(&self) -> String {
        std::fs::read_to_string(&self.told).unwrap()
    }

    /// As Ctrl-C does; answers the exit code.
    pub(crate) fn interrupt(self) -> Option<i32> {
        self.interrupt_and_read().0
    }

    /// The same, with all that it printed.
    pub(crate) fn interrupt_and_read(mut self) -> (Option<i32>, String, String) {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        let code = self.child.wait().unwrap().code();
        (code, self.out(), self.told())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn of_type(event_type: &str, video: &str) -> Bytes {
    format!(r#"{{"EventType":"{event_type}","Status":"success","VideoId":"{video}","EventTime":"2024-03-05T09:12:58Z"}}"#)
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_by_what_they_say_and_how_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    let relay = Process::start(folder, receiver.address).await;
    let client = client();
    check_in(folder, &["events"], "", 0, "no event matches");
    for body in
        [of_type("FileUploadComplete", "one"), of_type("FileUploadComplete", "a\u{202e}b"), event_body(1)]
    {
        accepted(&client, relay.http, body).await;
    }
    until("the deliveries", PATIENCE, || receiver.count() == 3).await;
    let list = |words: &[&str]| {
        let output = vodrelay(folder, &[&["events", "--json"], words].concat(), "");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        found["events"].as_array().unwrap().clone()
    };
    until("the settlements", PATIENCE, || list(&["--state", "delivered"]).len() == 3).await;
    assert_eq!(list(&["--type", "FileUploadComplete"]).len(), 2);
    assert_eq!(
        list(&["--video", "one", "--source", "callbacks.main", "--since", "1h"])[0]["video_id"],
        "one"
    );
    assert_eq!(list(&["--status", "fail"]).len(), 0);
    check_in(folder, &["events", "--limit", "2"], "", 0, "there are more: go on with --after ");
    check_in(folder, &["events", "--limit", "0"], "", 64, "--limit 0 goes with --follow alone");
    check_in(folder, &["events", "--type", "FileUploadComplete"], "", 0, r"a\u{202e}b");
    check_in(folder, &["events", "--state", "lost"], "", 64, "state: it is none of pending");
    check_in(folder, &["events", "--label", "region"], "", 64, "write a label like region=cn-shanghai");
    check_in(folder, &["events", "--follow", "--until", "1h"], "", 64, "which has no end");
    drop(relay);
    check_in(folder, &["events"], "", 69, "does not answer");
    check_in(folder, &["events", "--follow"], "", 69, "does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_sees_each_event_once_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    let (http, admin) = (free_port(), free_port());
    let mut relay = Process::start_at(folder, receiver.address, http, admin).await;
    let client = client();
    for number in 0..12 {
        accepted(&client, http, event_body(number)).await;
    }
    let following =
        Running::start(folder, &["events", "--follow", "--json", "--type", "DynamicImageComplete"], &[]);
    let seqs = || -> Vec<u64> {
        let lines = following.out();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|event| event["seq"].as_u64().unwrap()).collect()
    };
    until("those before", PATIENCE, || seqs().len() == 10).await;
    accepted(&client, http, of_type("FileUploadComplete", "another")).await;
    accepted(&client, http, event_body(12)).await;
    until("the next", PATIENCE, || seqs().len() == 11).await;

    assert_eq!(relay.terminate(), Some(0));
    let _relay = Process::start_at(folder, receiver.address, http, admin).await;
    accepted(&client, http, event_body(13)).await;
    until("the one after the restart", PATIENCE, || seqs().len() == 12).await;
    assert_eq!(seqs(), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15]);
    let told = following.told();
    assert!(told.contains("trying again until it is there") && told.contains("there again"), "{told}");
    assert_eq!(following.interrupt(), Some(0));
}
