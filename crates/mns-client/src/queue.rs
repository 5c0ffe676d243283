//! One queue: sending, receiving, deleting, re-timing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, deleted_entries, done, sent_entries, unexpected};
use crate::attributes::{AttributeChanges, QueueAttributes};
use crate::encoding::check_characters;
use crate::error::{EntryError, Error, ErrorKind};
use crate::message::{Message, Outgoing, PeekedMessage, Poll, Retimed, Sent};
use crate::name::{QueueName, ReceiptHandle};
use crate::request::{Request, whole_seconds};
use crate::retry::Retry;
use crate::transport::Transport;
use crate::xml::Element;

/// The most that a batch holds.
pub const MAX_BATCH: usize = 16;
/// The longest wait of a long poll.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// The longest time for which a message can be made invisible.
const MAX_VISIBILITY: Duration = Duration::from_secs(43_200);
/// The longest delay of a message.
const MAX_DELAY: Duration = Duration::from_secs(604_800);

/// One queue. Clones share the connections of the client it is from.
#[derive(Clone)]
pub struct Queue {
    transport: Arc<Transport>,
    name: QueueName,
    retry: Retry,
}

impl Queue {
    pub(crate) fn new(transport: Arc<Transport>, name: QueueName) -> Self {
        Self { retry: transport.config.retry, transport, name }
    }

    /// The same queue, whose requests are made again as that says and not as the client's are.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Error> {
        self.transport.send(request, &self.retry).await
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// Sends a message. It is made again by itself only where no connection came about: after any other failure the
    /// message may be there, and whether to risk a second one is the caller's choice. The same holds when the future
    /// is dropped before it is done.
    ///
    /// # Errors
    /// If the service does not say that it has the message.
    pub async fn send(&self, message: &Outgoing) -> Result<Sent, Error> {
        let answer = async {
            check_message(message)?;
            let answer = self.ask(&Request::send(&self.name, message)).await?;
            Sent::read(answer.root_of_success("Message")?).ok_or_else(|| unexpected(&answer, "MessageId"))
        };
        answer.await.map_err(|error| self.failed("send a message to", error))
    }

    /// Sends up to 16 messages, at most 64 KB together, as one request. Says what became of each, in their order. Of no
    /// messages nothing is asked.
    ///
    /// # Errors
    /// If the request as a whole failed.
    pub async fn send_batch(&self, messages: &[Outgoing]) -> Result<Vec<Result<Sent, EntryError>>, Error> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let answer = async {
            check_batch(messages.len())?;
            messages.iter().try_for_each(check_message)?;
            let answer = self.ask(&Request::send_batch(&self.name, messages)).await?;
            sent_entries(&answer, messages.len())
        };
        answer.await.map_err(|error| self.failed("send messages to", error))
    }

    /// Receives at most one message; where there is none, waits for one: up to 30 seconds, in whole seconds.
    ///
    /// Dropping the future ends the long poll. A message that the service hands out at that very moment becomes
    /// visible again after its timeout.
    ///
    /// # Errors
    /// If the service does not answer. An empty queue is no error.
    pub async fn receive(&self, wait: Duration) -> Result<Poll, Error> {
        self.poll(None, wait).await
    }

    /// Receives up to `most` messages, 1 to 16; where there is none, waits for one as [`Queue::receive`] does. There
    /// may be more in the queue than it answers.
    ///
    /// # Errors
    /// If the service does not answer. An empty queue is no error.
    pub async fn receive_batch(&self, most: usize, wait: Duration) -> Result<Poll, Error> {
        self.poll(Some(most), wait).await
    }

    async fn poll(&self, most: Option<usize>, wait: Duration) -> Result<Poll, Error> {
        let during = |error| self.failed("receive messages from", error);
        most.map_or(Ok(()), check_batch).map_err(during)?;
        check_span("a long poll waits", wait, Duration::ZERO, MAX_WAIT).map_err(during)?;
        let request = Request::receive(&self.name, most, whole_seconds(wait));
        let wait = request.wait;
        let answer = self.ask(&request).await.map_err(during)?;
        let entries = entries(&answer).map_err(during)?;
        let messages: Vec<Message> = entries.iter().filter_map(|entry| Message::read(entry)).collect();
        let unreadable = entries.len() - messages.len();
        Ok(Poll { messages, unreadable, wait, took: answer.took, answered_at: answer.date })
    }

    /// Looks at the next message without receiving it, if there is one.
    ///
    /// # Errors
    /// If the service does not answer.
    pub async fn peek(&self) -> Result<Option<PeekedMessage>, Error> {
        Ok(self.look(None).await?.into_iter().next())
    }

    /// Looks at up to `most` messages, 1 to 16, without receiving them.
    ///
    /// # Errors
    /// If the service does not answer.
    pub async fn peek_batch(&self, most: usize) -> Result<Vec<PeekedMessage>, Error> {
        self.look(Some(most)).await
    }

    async fn look(&self, most: Option<usize>) -> Result<Vec<PeekedMessage>, Error> {
        let during = |error| self.failed("peek at messages of", error);
        most.map_or(Ok(()), check_batch).map_err(during)?;
        let answer = self.ask(&Request::peek(&self.name, most)).await.map_err(during)?;
        Ok(entries(&answer).map_err(during)?.into_iter().map(PeekedMessage::read).collect())
    }

    /// Deletes a message by the handle that came with it last.
    ///
    /// Where the answer to a first try got lost, a second that finds no message counts as done.
    ///
    /// # Errors
    /// [`MessageNotExist`](ErrorKind::MessageNotExist) if the message has become visible again meanwhile, or was
    /// deleted: it is not the caller's any more.
    pub async fn delete(&self, handle: &ReceiptHandle) -> Result<(), Error> {
        let answer = self.ask(&Request::delete(&self.name, handle)).await;
        answer.and_then(|answer| done(&answer)).map_err(|error| self.failed("delete a message of", error))
    }

    /// Deletes up to 16 messages as one request. Says what became of each, in their order; lost answers are treated as
    /// [`Queue::delete`] does. Of no handles nothing is asked, so what a poll brought can be given as it is.
    ///
    /// # Errors
    /// If the request as a whole failed.
    pub async fn delete_batch(
        &self,
        handles: &[ReceiptHandle],
    ) -> Result<Vec<Result<(), EntryError>>, Error> {
        if handles.is_empty() {
            return Ok(Vec::new());
        }
        let answer = async {
            check_batch(handles.len())?;
            let answer = self.ask(&Request::delete_batch(&self.name, handles)).await?;
            deleted_entries(&answer, handles)
        };
        answer.await.map_err(|error| self.failed("delete messages of", error))
    }

    /// Makes a received message visible so long from now: 1 second to 12 hours, in whole seconds. One second gives it
    /// back. The old handle is good no more, and the answer has the new one.
    ///
    /// After a failure other than a refusal, either handle may be the good one, and only the old one is known.
    ///
    /// # Errors
    /// [`MessageNotExist`](ErrorKind::MessageNotExist) if the message is not the caller's any more.
    pub async fn change_visibility(
        &self,
        handle: &ReceiptHandle,
        timeout: Duration,
    ) -> Result<Retimed, Error> {
        let answer = async {
            check_span("a visibility timeout is", timeout, Duration::from_secs(1), MAX_VISIBILITY)?;
            let request = Request::change_visibility(&self.name, handle, whole_seconds(timeout));
            let answer = self.ask(&request).await?;
            let root = answer.root_of_success("ChangeVisibility")?;
            Retimed::read(root).ok_or_else(|| unexpected(&answer, "ReceiptHandle"))
        };
        answer.await.map_err(|error| self.failed("change the visibility of a message of", error))
    }

    /// What the queue says of itself.
    ///
    /// # Errors
    /// [`QueueNotExist`](ErrorKind::QueueNotExist) if there is none.
    pub async fn attributes(&self) -> Result<QueueAttributes, Error> {
        let during = |error| self.failed("read the attributes of", error);
        let answer = self.ask(&Request::attributes(&self.name)).await.map_err(during)?;
        let root = answer.root.as_ref().filter(|root| root.name == "Queue");
        root.map(QueueAttributes::read).ok_or_else(|| during(unexpected(&answer, "Queue")))
    }

    /// Sets attributes; those that are absent stay as they are.
    ///
    /// # Errors
    /// [`QueueNotExist`](ErrorKind::QueueNotExist) if there is none; [`Rejected`](ErrorKind::Rejected) with the code
    /// `InvalidArgument` if one is out of its range.
    pub async fn set_attributes(&self, attributes: &AttributeChanges) -> Result<(), Error> {
        let answer = self.ask(&Request::set_attributes(&self.name, attributes)).await;
        answer.and_then(|answer| done(&answer)).map_err(|error| self.failed("set the attributes of", error))
    }

    fn failed(&self, what: &str, error: Error) -> Error {
        error.during(format!("{what} queue {}", self.name))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({} at {})", self.name, self.transport.config.endpoint)
    }
}

/// The messages of an answer, of which the root is one or a list; none of an empty queue.
fn entries(answer: &Answer) -> Result<Vec<&Element>, Error> {
    match &answer.root {
        None if answer.found_nothing => Ok(Vec::new()),
        Some(root) if answer.succeeded() && root.name == "Message" => Ok(vec![root]),
        Some(root) if answer.succeeded() && root.name == "Messages" => {
            Ok(root.children_named("Message").collect())
        }
        _ => Err(unexpected(answer, "Messages")),
    }
}

fn check_batch(count: usize) -> Result<(), Error> {
    if (1..=MAX_BATCH).contains(&count) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("a batch has 1 to {MAX_BATCH} entries, this one has {count}"),
    ))
}

fn check_span(what: &str, span: Duration, least: Duration, most: Duration) -> Result<(), Error> {
    if (least..=most).contains(&span) {
        return Ok(());
    }
    let (least, most) = (least.as_secs(), most.as_secs());
    Err(Error::new(ErrorKind::InvalidInput, format!("{what} {least} to {most} seconds, not {span:?}")))
}

fn check_message(message: &Outgoing) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    if let Err(error) = check_characters(&message.body) {
        return wrong(error.to_string());
    }
    if let Some(priority) = message.priority.filter(|priority| !(1..=16).contains(priority)) {
        return wrong(format!("a priority is 1 to 16, not {priority}"));
    }
    for property in &message.user_properties {
        if check_characters(&property.name).and(check_characters(&property.value)).is_err() {
            return wrong(format!("the property {:?} has a character that XML cannot carry", property.name));
        }
    }
    message.delay.map_or(Ok(()), |delay| check_span("a delay is", delay, Duration::ZERO, MAX_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Property;

    #[test]
    fn what_cannot_be_sent_is_refused_before_it_is() {
        let check = |message: Outgoing, says: Option<&str>| {
            let result = check_message(&message);
            match says {
                None => assert_eq!(result, Ok(())),
                Some(says) => {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                    assert!(error.to_string().contains(says), "{error}");
                }
            }
        };
        let fine = Outgoing::new("a\r\n");
        check(fine.clone(), None);
        check(Outgoing::new("a\u{1}"), Some("which XML cannot carry; send it as Encoding::Base64"));
        check(Outgoing { priority: Some(0), ..fine.clone() }, Some("a priority is 1 to 16, not 0"));
        check(Outgoing { delay: Some(MAX_DELAY), ..fine.clone() }, None);
        check(
            Outgoing { delay: Some(MAX_DELAY + Duration::from_secs(1)), ..fine.clone() },
            Some("a delay is 0 to 604800 seconds, not 604801s"),
        );
        let properties = vec![Property::text("k", "\u{0}")];
        check(Outgoing { user_properties: properties, ..fine }, Some("the property \"k\""));
    }
}
