//! What the writer is asked to do, and how it answers.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use vod_event::{Event, EventId};
use vodrelay_core::{
    Appended, JournalError, Refusal, SettleResult, Settled, SinkName, SourceName, TraceContext, Trouble,
};

use crate::indexes::Doubt;
use crate::key::Key;
use crate::order::{Carried, Order};

/// How many requests wait for the writer; those beyond wait for room before they are queued.
const QUEUE: usize = 4_096;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

/// One request to the writer.
#[derive(Debug)]
pub(crate) enum Op {
    Append(Box<Row>, Answer<Appended>),
    Settle(Vec<Settled>, Answer<Vec<SettleResult>>),
    Refuse(Vec<Refusal>, Answer<()>),
    RemoveRefusals(Vec<u64>, Answer<u64>),
    NoteTroubles(Vec<Trouble>, Answer<()>),
    /// What people tell the journal.
    Order(Box<Order>, Answer<Carried>),
    /// The body of that delivery is not what was accepted.
    BuryCorrupt(Key, Answer<()>),
    /// The deliveries of that sink may not be found by their indexes.
    MendIndexes(i64, Doubt, Answer<()>),
    /// Write down now what is in hand.
    NoteInHand(Answer<()>),
    /// Do at once all that is done from time to time.
    Tidy(Answer<()>),
    /// Answer, after a transaction as each request gets one.
    Pulse(Answer<()>),
    Close(Answer<()>),
}

/// An event as it is written: all that can be done without the file is done.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: EventId,
    pub(crate) source: SourceName,
    /// As JSON; nothing where there are none.
    pub(crate) labels: Option<String>,
    pub(crate) received_at: i64,
    pub(crate) event: Result<Arc<Event>, String>,
    pub(crate) body: Bytes,
    pub(crate) sha256: [u8; 32],
    pub(crate) trace: Option<[u8; TraceContext::LENGTH]>,
    pub(crate) sinks: Vec<SinkName>,
}

#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) op: Op,
    _room: Option<OwnedSemaphorePermit>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct WriterQueue {
    sender: Sender<Queued>,
    room: Arc<Semaphore>,
}

impl WriterQueue {
    pub(crate) fn new(sender: Sender<Queued>) -> Self {
        Self { sender, room: Arc::new(Semaphore::new(QUEUE)) }
    }

    /// Waits for room, asks, and waits for the answer.
    pub(crate) async fn ask<T>(&self, op: impl FnOnce(Answer<T>) -> Op) -> Result<T, JournalError> {
        let closed = |_| JournalError::Closed;
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(closed)?;
        let (answer, answered) = oneshot::channel();
        let queued = Queued { op: op(answer), _room: Some(room) };
        self.sender.send(queued).map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)?
    }

    /// Asks from a thread of our own, which may wait, and does not wait for room.
    pub(crate) fn ask_blocking<T>(&self, op: impl FnOnce(Answer<T>) -> Op) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(Queued { op: op(answer), _room: None }).map_err(|_| JournalError::Closed)?;
        answered.blocking_recv().map_err(|_| JournalError::Closed)?
    }
}

/// What an op came to, kept until the commit.
#[derive(Debug)]
pub(crate) enum Reply {
    Appended(Appended),
    Settled(Vec<SettleResult>),
    Removed(u64),
    Carried(Carried),
    Done,
    Refused(JournalError),
    /// Nobody waits for it.
    Skipped,
}

impl Op {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Append(row, _) => row.body.len(),
            Self::Refuse(refusals, _) => refusals.iter().map(|refusal| refusal.body.len()).sum(),
            _ => 0,
        }
    }

    /// Answers the caller; one that has gone is none of our business.
    pub(crate) fn answer(self, reply: Result<Reply, JournalError>) {
        let odd = || JournalError::Failed("an answer of the wrong kind; please report it".to_owned());
        match self {
            Self::Append(_, answer) => {
                let _ = answer.send(match reply {
                    Ok(Reply::Appended(appended)) => Ok(appended),
                    Ok(Reply::Refused(error)) | Err(error) => Err(error),
                    Ok(_) => Err(odd()),
                });
            }
            Self::Settle(_, answer) => {
                let _ = answer.send(match reply {
                    Ok(Reply::Settled(results)) => Ok(results),
                    Ok(Reply::Refused(error)) | Err(error) => Err(error),
                    Ok(_) => Err(odd()),
                });
            }
            Self::RemoveRefusals(_, answer) => {
                let _ = answer.send(match reply {
                    Ok(Reply::Removed(removed)) => Ok(removed),
                    Ok(Reply::Refused(error)) | Err(error) => Err(error),
                    Ok(_) => Err(odd()),
                });
            }
            Self::Order(_, answer) => {
                let _ = answer.send(match reply {
                    Ok(Reply::Carried(carried)) => Ok(carried),
                    Ok(Reply::Refused(error)) | Err(error) => Err(error),
                    Ok(_) => Err(odd()),
                });
            }
            Self::Refuse(_, answer)
            | Self::NoteTroubles(_, answer)
            | Self::BuryCorrupt(_, answer)
            | Self::MendIndexes(_, _, answer)
            | Self::NoteInHand(answer)
            | Self::Tidy(answer)
            | Self::Pulse(answer)
            | Self::Close(answer) => {
                let _ = answer.send(match reply {
                    Ok(Reply::Refused(error)) | Err(error) => Err(error),
                    Ok(_) => Ok(()),
                });
            }
        }
    }
}
