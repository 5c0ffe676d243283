//! Sending, peeking, deleting and re-timing messages. Receiving is in `poll.rs`.

use jiff::Timestamp;

use super::{State, refreshed};
use crate::answer::{Answer, Shown, entry_error, message_element};
use crate::fault::Fault;
use crate::happening::What;
use crate::operation::Operation;
use crate::queue::{Draft, Message};
use crate::refusal::Refusal;
use crate::xml::Element;

/// What the bodies of one request may come to, in bytes.
const REQUEST_SIZE: usize = 64 << 10;

impl State {
    pub(crate) fn send(
        &mut self,
        name: &str,
        drafts: Vec<Draft>,
        batch: bool,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let operation = if batch { Operation::BatchSendMessage } else { Operation::SendMessage };
        let Self { queues, mint, plan, witness, ledger, format, .. } = self;
        let queue = refreshed(queues, name, now, witness)?;
        check_size(&drafts, queue.attributes.maximum_message_size)?;
        let mut sent: Vec<Option<Message>> = Vec::new();
        for draft in drafts {
            if batch && plan.strikes(Fault::PartialBatch, operation) {
                sent.push(None);
                continue;
            }
            let message = queue.send(draft, now, mint);
            witness.tell(name, &message, now, What::Sent);
            ledger.tally(operation).messages += 1;
            sent.push(Some(message));
        }
        let shown = |message: &Message| message_element(message, Shown::Sent, *format);
        if !batch {
            let message = sent.into_iter().flatten().next();
            return message.map(|message| Answer::of(201, shown(&message))).ok_or(Refusal::INTERNAL_ERROR);
        }
        let failed = sent.iter().any(Option::is_none);
        let entry = |message: &Option<Message>| match message {
            None => Element::new("Message", entry_error(&Refusal::INTERNAL_ERROR)),
            // The official Python client reads no entry of a failure that has more than two elements.
            Some(message) if failed => shown(&Message { handle: None, ..message.clone() }),
            Some(message) => shown(message),
        };
        let root = Element::new("Messages", sent.iter().map(entry).collect());
        Ok(Answer::of(if failed { 500 } else { 201 }, root))
    }

    /// A single message for `most` of none, else a batch.
    pub(crate) fn peek(
        &mut self,
        name: &str,
        most: Option<usize>,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let queue = refreshed(&mut self.queues, name, now, &self.witness)?;
        let messages = queue.peek(most.unwrap_or(1));
        let operation = if most.is_some() { Operation::BatchPeekMessage } else { Operation::PeekMessage };
        self.ledger.tally(operation).messages += messages.len() as u64;
        self.list(&messages, Shown::Peeked, most.is_some())
    }

    /// The answer to a receive or a peek.
    pub(crate) fn list(&self, messages: &[Message], shown: Shown, batch: bool) -> Result<Answer, Refusal> {
        let mut elements =
            messages.iter().map(|message| message_element(message, shown, self.format)).peekable();
        if elements.peek().is_none() {
            return Err(Refusal::MESSAGE_NOT_EXIST);
        }
        let root = if batch { Some(Element::new("Messages", elements.collect())) } else { elements.next() };
        root.map(|root| Answer::of(200, root)).ok_or(Refusal::MESSAGE_NOT_EXIST)
    }

    pub(crate) fn delete(&mut self, name: &str, handle: &str, now: Timestamp) -> Result<Answer, Refusal> {
        self.delete_one(name, handle, Operation::DeleteMessage, now)?;
        Ok(Answer::status(204))
    }

    pub(crate) fn batch_delete(
        &mut self,
        name: &str,
        handles: &[String],
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        refreshed(&mut self.queues, name, now, &self.witness)?;
        let operation = Operation::BatchDeleteMessage;
        let mut errors = Vec::new();
        for handle in handles {
            let deleted = if self.plan.strikes(Fault::PartialBatch, operation) {
                Err(Refusal::INTERNAL_ERROR)
            } else {
                self.delete_one(name, handle, operation, now)
            };
            if let Err(refusal) = deleted {
                let mut entry = entry_error(&refusal);
                entry.push(Element::text("ReceiptHandle", handle));
                errors.push(Element::new("Error", entry));
            }
        }
        if errors.is_empty() {
            Ok(Answer::status(204))
        } else {
            Ok(Answer::of(404, Element::new("Errors", errors)))
        }
    }

    fn delete_one(
        &mut self,
        name: &str,
        handle: &str,
        operation: Operation,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let queue = refreshed(&mut self.queues, name, now, &self.witness)?;
        let message = queue.delete(handle)?;
        self.witness.tell(name, &message, now, What::Deleted);
        self.ledger.tally(operation).messages += 1;
        Ok(())
    }

    pub(crate) fn change_visibility(
        &mut self,
        name: &str,
        handle: &str,
        timeout: u32,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let queue = refreshed(&mut self.queues, name, now, &self.witness)?;
        let message = queue.change_visibility(handle, timeout, now, &mut self.mint)?;
        self.ledger.tally(Operation::ChangeMessageVisibility).messages += 1;
        let next = message.hidden_until.unwrap_or(now).as_millisecond();
        let inner = vec![
            Element::text("ReceiptHandle", &message.handle.unwrap_or_default()),
            Element::text("NextVisibleTime", &next),
        ];
        Ok(Answer::of(200, Element::new("ChangeVisibility", inner)))
    }
}

fn check_size(drafts: &[Draft], most: u32) -> Result<(), Refusal> {
    let mut sum = 0;
    for draft in drafts {
        sum += draft.body.len();
        if draft.body.len() > most as usize {
            return Err(Refusal::invalid_argument(format!(
                "The length of MessageBody should not exceed {most} bytes."
            )));
        }
    }
    if sum > REQUEST_SIZE {
        return Err(Refusal::invalid_argument(
            "The messages of a batch should not exceed 65536 bytes together.",
        ));
    }
    Ok(())
}
