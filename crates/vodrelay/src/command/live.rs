//! What a running relay accepts, as it accepts it, over its restarts: none is missed and none comes twice.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};

use super::ask::RunningRelay;
use crate::exit::{Code, Failure};

/// The relay says something every fifteen seconds, if only that there is nothing new.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two tries to reach a relay that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No line of a stream is longer: an event in a list has no body.
const LONGEST_LINE: usize = 1 << 20;

/// Listens to a relay.
#[derive(Debug)]
pub(crate) struct Live {
    relay: RunningRelay,
    /// The last event that was heard, or what was there before.
    after: Option<u64>,
    connection: Option<(Response, Lines)>,
    heard: VecDeque<Heard>,
    /// Whether the relay has ever been reached.
    was_there: bool,
    pause: Duration,
    try_at: Instant,
}

/// What is heard.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The relay was reached.
    Ready,
    /// It was reached again, after it was lost.
    Again,
    /// It was reached again, and has not got what was heard last.
    AnotherJournal,
    /// An event, as it stands in lists.
    Accepted(Box<RawValue>),
    /// The relay is away, and why. It is told once, however often it is tried again.
    Lost(String),
}

impl Live {
    /// Hears what comes behind that event, or else what comes from now on.
    pub(crate) fn new(relay: RunningRelay, after: Option<u64>) -> Self {
        Self {
            relay,
            after,
            connection: None,
            heard: VecDeque::new(),
            was_there: false,
            pause: FIRST_PAUSE,
            try_at: Instant::now(),
        }
    }

    /// The relay that is listened to.
    pub(crate) fn relay(&self) -> &RunningRelay {
        &self.relay
    }

    /// Waits for the next. It may be dropped at any time, and nothing is missed.
    ///
    /// # Errors
    /// If the relay cannot be reached at first, or does not let anybody listen with that token.
    pub(crate) async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(heard);
            }
            match &mut self.connection {
                None => self.connect().await?,
                Some((response, lines)) => match timeout(SILENCE, response.chunk()).await {
                    Ok(Ok(Some(piece))) => match lines.take(&piece) {
                        Ok(messages) => messages.into_iter().for_each(|message| self.take(message)),
                        Err(why) => self.lose(why),
                    },
                    Ok(Ok(None)) => self.lose("the relay closed the stream".to_owned()),
                    Ok(Err(error)) => self.lose(format!("the stream broke: {}", error.without_url())),
                    Err(_) => self.lose(format!("the relay said nothing for {SILENCE:?}")),
                },
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        sleep_until(self.try_at).await;
        let failure = match self.relay.open("/stream?kinds=accepted", self.after).await {
            Ok(response) => {
                self.connection = Some((response, Lines::default()));
                return Ok(());
            }
            Err(failure) => failure,
        };
        // A token that is refused stays so; what does not answer may be starting, or be full of others.
        if !self.was_there || failure.code == Code::Permission {
            return Err(failure);
        }
        self.wait();
        Ok(())
    }

    fn take(&mut self, message: Message) {
        match message.kind.as_str() {
            "ready" => {
                self.pause = FIRST_PAUSE;
                let begins = message.id;
                let is_another = self.after.is_some() && begins < self.after;
                self.heard.push_back(match (self.was_there, is_another) {
                    (_, true) => Heard::AnotherJournal,
                    (false, _) => Heard::Ready,
                    (true, _) => Heard::Again,
                });
                self.was_there = true;
                self.after = begins.or(self.after);
            }
            "accepted" => {
                self.after = message.id.or(self.after);
                if let Ok(event) = RawValue::from_string(message.data) {
                    self.heard.push_back(Heard::Accepted(event));
                }
            }
            "end" => {
                #[derive(Deserialize)]
                struct End {
                    reason: String,
                }
                let end = serde_json::from_str(&message.data)
                    .map_or_else(|_| String::new(), |End { reason }| reason);
                self.lose(match end.as_str() {
                    "stopping" => "the relay is stopping".to_owned(),
                    other => format!("the relay ended the stream: {other}"),
                });
            }
            _ => {}
        }
    }

    fn lose(&mut self, why: String) {
        self.connection = None;
        self.heard.push_back(Heard::Lost(why));
        self.try_at = Instant::now() + self.pause;
    }

    fn wait(&mut self) {
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.try_at = Instant::now() + self.pause;
    }
}

/// A message of server-sent events.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    kind: String,
    id: Option<u64>,
    data: String,
}

/// Makes messages of pieces, which may begin and end anywhere.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    message: Message,
}

impl Lines {
    fn take(&mut self, piece: &[u8]) -> Result<Vec<Message>, String> {
        let mut messages = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.len() > LONGEST_LINE {
                return Err("what answers is no stream of a relay".to_owned());
            }
            if self.rest.last() != Some(&b'\n') {
                continue;
            }
            let line = std::mem::take(&mut self.rest);
            messages.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
        }
        Ok(messages)
    }

    /// An empty line ends a message; one that begins with a colon says nothing.
    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return (!message.kind.is_empty()).then_some(message);
        }
        let (name, value) = line.split_once(':')?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.message.kind),
            "id" => self.message.id = value.parse().ok(),
            "data" => self.message.data.push_str(value),
            _ => {}
        }
        None
    }
}

impl RunningRelay {
    /// Opens the stream, behind that event.
    async fn open(&self, path: &str, after: Option<u64>) -> Result<Response, Failure> {
        // So long a connection may last; then another one goes on where it ended.
        let day = Duration::from_secs(86_400);
        let request = self.request(reqwest::Method::GET, path).timeout(day);
        let request = match after {
            Some(after) => request.header("last-event-id", after.to_string()),
            None => request,
        };
        let response = self.send(request).await?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_made_of_pieces_wherever_those_end() {
        let text = ": nothing new\n\nid: 7\nevent: accepted\ndata: {\"a\": \"ä\"}\n\nevent: end\r\ndata: {}\r\n\r\nid: 9\n";
        let message =
            |kind: &str, id, data: &str| Message { kind: kind.to_owned(), id, data: data.to_owned() };
        let expect = [message("accepted", Some(7), "{\"a\": \"ä\"}"), message("end", None, "{}")];
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let pieces = text.as_bytes().chunks(size);
            let found: Vec<Message> = pieces.flat_map(|piece| lines.take(piece).unwrap()).collect();
            assert_eq!(found, expect, "in pieces of {size}");
        }
        assert!(Lines::default().take(&vec![b'a'; LONGEST_LINE + 1]).is_err());
    }
}
