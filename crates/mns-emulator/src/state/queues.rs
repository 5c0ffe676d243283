//! Creating, describing, listing and deleting queues.

use std::time::Duration;

use jiff::Timestamp;

use super::{State, refreshed};
use crate::answer::Answer;
use crate::attributes::Attributes;
use crate::clock::later;
use crate::queue::{Counts, MessageState, Queue};
use crate::refusal::Refusal;
use crate::xml::Element;

impl State {
    /// A queue that is there with the attributes that the request names is as good as a new one. Attributes that the
    /// request leaves out are not compared: the service answers so.
    pub(crate) fn create_queue(
        &mut self,
        name: &str,
        attributes: &Element,
        host: &str,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let location = Some(format!("http://{host}/queues/{name}"));
        if let Some(queue) = self.queues.get(name) {
            let as_asked = queue.attributes.changed_by(attributes)? == queue.attributes;
            let there = Answer { status: 204, location, root: None };
            return if as_asked { Ok(there) } else { Err(Refusal::QUEUE_ALREADY_EXIST) };
        }
        if self.resting.get(name).is_some_and(|until| *until > now) {
            return Err(Refusal::QUEUE_DELETED_RECENTLY);
        }
        let attributes = Attributes::default().changed_by(attributes)?;
        self.put_queue(name, attributes, now);
        Ok(Answer { status: 201, location, root: None })
    }

    /// A fresh queue, in the place of any that has the name.
    pub(crate) fn put_queue(&mut self, name: &str, attributes: Attributes, now: Timestamp) {
        self.queues.insert(name.to_owned(), Queue::new(attributes, now));
    }

    pub(crate) fn set_attributes(
        &mut self,
        name: &str,
        attributes: &Element,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let queue = refreshed(&mut self.queues, name, now, &self.witness)?;
        queue.attributes = queue.attributes.changed_by(attributes)?;
        queue.modified_at = now;
        Ok(Answer::status(204))
    }

    pub(crate) fn attributes(&mut self, name: &str, now: Timestamp) -> Result<Answer, Refusal> {
        let queue = refreshed(&mut self.queues, name, now, &self.witness)?;
        Ok(Answer::of(200, Element::new("Queue", described(name, queue))))
    }

    /// Deleting a queue that is not there is no error.
    pub(crate) fn delete_queue(&mut self, name: &str, name_rest: Duration, now: Timestamp) -> Answer {
        // With the queue its end of the wake-up goes, which ends the receives that wait there.
        if self.queues.remove(name).is_some() {
            self.resting.insert(name.to_owned(), later(now, name_rest));
        }
        Answer::status(204)
    }

    /// Queues by name; the marker is the name of the first of the next page.
    pub(crate) fn list_queues(
        &mut self,
        (prefix, marker): (&str, &str),
        most: usize,
        with_meta: bool,
        host: &str,
        now: Timestamp,
    ) -> Answer {
        let names = self.queues.range(marker.to_owned()..).map(|(name, _)| name.clone());
        let mut names = names.filter(|name| name.starts_with(prefix));
        let page: Vec<String> = names.by_ref().take(most).collect();
        let next = names.next();
        let mut list = Vec::new();
        for name in page {
            let Ok(queue) = refreshed(&mut self.queues, &name, now, &self.witness) else { continue };
            let mut inner = vec![Element::text("QueueURL", &format!("http://{host}/queues/{name}"))];
            if with_meta {
                inner.extend(described(&name, queue));
            }
            list.push(Element::new("Queue", inner));
        }
        list.extend(next.map(|name| Element::text("NextMarker", &name)));
        Answer::of(200, Element::new("Queues", list))
    }

    /// Every message of the queue; nothing where there is no such queue.
    pub(crate) fn messages(&mut self, name: &str, now: Timestamp) -> Option<Vec<MessageState>> {
        refreshed(&mut self.queues, name, now, &self.witness).ok().map(|queue| queue.states())
    }

    /// How many messages the queue holds, or none where there is no such queue.
    pub(crate) fn counts(&mut self, name: &str, now: Timestamp) -> Counts {
        let queue = refreshed(&mut self.queues, name, now, &self.witness);
        queue.map(|queue| queue.counts()).unwrap_or_default()
    }
}

fn described(name: &str, queue: &Queue) -> Vec<Element> {
    let Counts { active, inactive, delayed } = queue.counts();
    let mut elements = vec![
        Element::text("QueueName", name),
        Element::text("CreateTime", &queue.created_at.as_second()),
        Element::text("LastModifyTime", &queue.modified_at.as_second()),
    ];
    elements.extend(queue.attributes.elements());
    elements.extend([
        Element::text("ActiveMessages", &active),
        Element::text("InactiveMessages", &inactive),
        Element::text("DelayMessages", &delayed),
    ]);
    elements
}
