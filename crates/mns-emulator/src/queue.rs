//! One queue: its messages and the states they go through. Pure; time and ids are passed in.
//!
//! ```text
//! sent -> (delayed) -> active -> received, invisible -> deleted
//!                        ^                |
//!                        +-- visible again+
//! ```

mod message;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

pub use self::message::{Counts, MessageState, Visibility};
pub(crate) use self::message::{Draft, Message};
use crate::attributes::Attributes;
use crate::clock::later;
use crate::handle::is_well_formed;
use crate::mint::Mint;
use crate::refusal::Refusal;

/// The number under which a queue keeps a message. A duplicate has the same id, but a number of its own.
type Number = u64;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) attributes: Attributes,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    messages: HashMap<Number, Message>,
    /// Visible, in the order in which they are received: priority, then age.
    active: BTreeSet<(u8, Number)>,
    /// Delayed or received, by the moment at which they become visible.
    hidden: BTreeSet<(Timestamp, Number)>,
    /// By the moment at which their retention ends.
    expiring: BTreeSet<(Timestamp, Number)>,
    /// Handles that are good.
    handles: HashMap<String, Number>,
    next: Number,
    /// The tickets of receives that wait, first come first served.
    pub(crate) line: BTreeSet<u64>,
    /// Marked whenever something happened that a waiting receive may care for.
    pub(crate) changed: watch::Sender<()>,
}

impl Queue {
    pub(crate) fn new(attributes: Attributes, now: Timestamp) -> Self {
        Self {
            attributes,
            created_at: now,
            modified_at: now,
            messages: HashMap::new(),
            active: BTreeSet::new(),
            hidden: BTreeSet::new(),
            expiring: BTreeSet::new(),
            handles: HashMap::new(),
            next: 0,
            line: BTreeSet::new(),
            changed: watch::Sender::new(()),
        }
    }

    /// Brings the queue to this moment, and gives back what has expired. Comes before everything else.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> Vec<Message> {
        let mut expired = Vec::new();
        while let Some(&(_, number)) = self.expiring.first().filter(|(at, _)| *at <= now) {
            expired.extend(self.remove(number));
        }
        while let Some(&(at, number)) = self.hidden.first().filter(|(at, _)| *at <= now) {
            self.hidden.remove(&(at, number));
            self.show(number);
        }
        expired
    }

    /// Takes a message in. It has a handle if it is delayed.
    pub(crate) fn send(&mut self, draft: Draft, now: Timestamp, mint: &mut Mint) -> Message {
        let delay = draft.delay_seconds.unwrap_or(self.attributes.delay_seconds);
        let retention = seconds(self.attributes.message_retention_period);
        let mut message = Message::new(draft, mint.message_id(now), now, later(now, retention));
        if delay > 0 {
            message.hide(now, seconds(delay), mint);
            message.delayed = true;
        }
        self.insert(message.clone());
        self.changed.send_replace(());
        message
    }

    /// How many messages a receive would find.
    pub(crate) fn available(&self) -> usize {
        self.active.len()
    }

    /// Receives the visible message at that place in the order.
    pub(crate) fn receive(&mut self, place: usize, now: Timestamp, mint: &mut Mint) -> Option<Message> {
        let &(priority, number) = self.active.iter().nth(place)?;
        self.active.remove(&(priority, number));
        let timeout = seconds(self.attributes.visibility_timeout);
        let message = self.messages.get_mut(&number)?;
        message.dequeue_count += 1;
        message.first_dequeued_at.get_or_insert(now);
        message.hide(now, timeout, mint);
        let message = message.clone();
        self.note_hidden(&message, number);
        Some(message)
    }

    /// Puts a visible copy of a received message beside it.
    pub(crate) fn duplicate(&mut self, message: &Message) {
        self.insert(Message { handle: None, hidden_until: None, ..message.clone() });
        self.changed.send_replace(());
    }

    /// The first visible messages, as they are.
    pub(crate) fn peek(&self, most: usize) -> Vec<Message> {
        let first = self.active.iter().take(most);
        first.filter_map(|(_, number)| self.messages.get(number)).cloned().collect()
    }

    /// Deletes the message that the handle stands for.
    pub(crate) fn delete(&mut self, handle: &str) -> Result<Message, Refusal> {
        let number = self.find(handle)?;
        self.remove(number).ok_or(Refusal::MESSAGE_NOT_EXIST)
    }

    /// Makes the message visible so long from now, under a new handle.
    pub(crate) fn change_visibility(
        &mut self,
        handle: &str,
        timeout: u32,
        now: Timestamp,
        mint: &mut Mint,
    ) -> Result<Message, Refusal> {
        let number = self.find(handle)?;
        let message = self.messages.get_mut(&number).ok_or(Refusal::MESSAGE_NOT_EXIST)?;
        if let Some(until) = message.hidden_until {
            self.hidden.remove(&(until, number));
        }
        self.handles.remove(handle);
        message.hide(now, seconds(timeout), mint);
        let message = message.clone();
        self.note_hidden(&message, number);
        self.changed.send_replace(());
        Ok(message)
    }

    /// The next moment at which a hidden message becomes visible.
    pub(crate) fn next_visible_at(&self) -> Option<Timestamp> {
        self.hidden.first().map(|(at, _)| *at)
    }

    pub(crate) fn counts(&self) -> Counts {
        let hidden = self.hidden.iter().filter_map(|(_, number)| self.messages.get(number));
        let delayed = hidden.filter(|message| message.delayed).count();
        Counts { active: self.active.len(), inactive: self.hidden.len() - delayed, delayed }
    }

    /// Every message, oldest first.
    pub(crate) fn states(&self) -> Vec<MessageState> {
        let mut numbers: Vec<&Number> = self.messages.keys().collect();
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| self.messages.get(number)).map(Message::state).collect()
    }

    fn insert(&mut self, message: Message) {
        let number = self.next;
        self.next += 1;
        self.expiring.insert((message.expires_at, number));
        match message.hidden_until {
            Some(_) => self.note_hidden(&message, number),
            None => {
                self.active.insert((message.priority, number));
            }
        }
        self.messages.insert(number, message);
    }

    fn note_hidden(&mut self, message: &Message, number: Number) {
        self.hidden.extend(message.hidden_until.map(|until| (until, number)));
        self.handles.extend(message.handle.clone().map(|handle| (handle, number)));
    }

    /// A message is visible again: its handle is good no more.
    fn show(&mut self, number: Number) {
        let Some(message) = self.messages.get_mut(&number) else { return };
        message.hidden_until = None;
        message.delayed = false;
        if let Some(handle) = message.handle.take() {
            self.handles.remove(&handle);
        }
        self.active.insert((message.priority, number));
        self.changed.send_replace(());
    }

    fn remove(&mut self, number: Number) -> Option<Message> {
        let message = self.messages.remove(&number)?;
        self.active.remove(&(message.priority, number));
        self.expiring.remove(&(message.expires_at, number));
        if let Some(until) = message.hidden_until {
            self.hidden.remove(&(until, number));
        }
        if let Some(handle) = &message.handle {
            self.handles.remove(handle);
        }
        Some(message)
    }

    fn find(&self, handle: &str) -> Result<Number, Refusal> {
        if !is_well_formed(handle) {
            return Err(Refusal::RECEIPT_HANDLE_ERROR);
        }
        self.handles.get(handle).copied().ok_or(Refusal::MESSAGE_NOT_EXIST)
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests;
