//! A replay that goes on by itself, as it is remembered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Left, Outcome, Request};
use crate::ledger::Replayed;

/// A replay that the relay carries out step by step.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    /// Names it; later ones have higher numbers. None is given yet where it is 0.
    pub id: u64,
    /// How it stands.
    pub state: JobState,
    /// What is to be replayed.
    pub request: Request,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// The name of the token of whoever asked; nothing where it has none.
    pub token: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was done so far; in a dry run, what would have been.
    #[serde(flatten)]
    pub done: Replayed,
    /// What was left as it is, and why.
    pub left: Left,
    /// Events or dead letters that were looked at.
    pub looked_at: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It is at work.
    Running,
    /// It came to its end.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// The journal did not take a step.
    Failed,
    /// The relay stopped, or went down, while it was at work.
    Interrupted,
}

impl JobState {
    /// Its word, as answers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Job {
    /// One that begins.
    #[must_use]
    pub fn new(request: Request, token: Option<String>, asked_at: Timestamp) -> Self {
        Self {
            id: 0,
            state: JobState::Running,
            request,
            asked_at,
            token,
            ended_at: None,
            done: Replayed::default(),
            left: Left::default(),
            looked_at: 0,
            error: None,
        }
    }

    /// Takes in what a step came to.
    pub fn add(&mut self, step: &Outcome) {
        self.done.again += step.done.again;
        self.done.added += step.done.added;
        self.done.read += step.done.read;
        self.left.pending += step.left.pending;
        self.left.delivered += step.left.delivered;
        self.left.purged += step.left.purged;
        self.left.not_configured += step.left.not_configured;
        self.left.unmatched += step.left.unmatched;
        self.left.unreadable += step.left.unreadable;
        self.looked_at += step.looked_at;
    }

    /// It ends so.
    pub fn end(&mut self, state: JobState, at: Timestamp, error: Option<String>) {
        (self.state, self.ended_at, self.error) = (state, Some(at), error);
    }
}
