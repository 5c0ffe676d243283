//! A client that helps as little as possible: it writes bytes and reads an answer.

use std::time::Duration;

use mns_emulator::{Attributes, Clock, Emulator, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The text of the first element of that name.
    pub(crate) fn text(&self, name: &str) -> &str {
        let from = self.body.find(&format!("<{name}>")).map(|at| at + name.len() + 2);
        let from = from.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        let rest = &self.body[from..];
        &rest[..rest.find("</").unwrap()]
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        let after = self.body.split(&format!("<{name}>")).skip(1).collect::<Vec<_>>();
        after.into_iter().map(|rest| &rest[..rest.find("</").unwrap()]).collect()
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) async fn to(emulator: &Emulator) -> Self {
        Self { stream: TcpStream::connect(emulator.address()).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn begin(&mut self, method: &str, target: &str, body: &str) {
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: local\r\ncontent-length: {length}\r\n\r\n");
        self.say(&(head + body)).await;
    }

    pub(crate) async fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.begin(method, target, body).await;
        self.hear().await.unwrap()
    }

    /// The next answer, or nothing if the connection ends before it is whole.
    pub(crate) async fn hear(&mut self) -> Option<Answer> {
        let head = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.read.split_off(at + 4);
                break String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            self.more().await?;
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            self.more().await?;
        }
        let rest = self.read.split_off(length);
        answer.body = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        Some(answer)
    }

    /// All that comes until the connection ends.
    pub(crate) async fn rest(mut self) -> String {
        let _ = self.stream.read_to_end(&mut self.read).await;
        String::from_utf8(self.read).unwrap()
    }

    async fn more(&mut self) -> Option<()> {
        let reading = timeout(Duration::from_secs(10), self.stream.read_buf(&mut self.read)).await;
        reading.expect("an answer within ten seconds").ok().filter(|&count| count > 0).map(drop)
    }
}

pub(crate) const MESSAGES: &str = "/queues/q/messages";

/// An emulator with the empty queue `q`, whose time stands still.
pub(crate) async fn emulator(settings: Settings) -> Emulator {
    let clock = Clock::frozen_at("2024-01-01T00:00:00Z".parse().unwrap());
    let emulator = Emulator::start(Settings { clock, ..settings }).await.unwrap();
    emulator.create_queue("q", Attributes::default()).unwrap();
    emulator
}

pub(crate) fn message(body: &str) -> String {
    format!("<Message><MessageBody>{body}</MessageBody></Message>")
}
