//! Who looks whether a message is in the journal at the moment when it is deleted from its queue.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mns_emulator::{Happening, Observer, What};
use vod_event::EventId;
use vodrelay_journal::Reader;

/// Events looked at together. An append commits fewer, mostly.
const PAGE: usize = 64;

/// Looks at the deletions of a queue, once there is a journal to look into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletions(Arc<Mutex<Seen>>);

/// What was seen of the journal and of the queue.
#[derive(Debug, Default)]
struct Seen {
    journal: Option<Reader>,
    /// Events that were in the journal at some time, up to this place in its order. Each is looked at once: to look an
    /// event up among the newest takes longer the more there are.
    durable: HashSet<EventId>,
    up_to: u64,
    deletions: usize,
    too_early: Vec<String>,
}

impl Deletions {
    /// From now on this journal is looked into, as another process would, whoever writes it.
    pub(crate) fn look_into(&self, folder: &Path) {
        self.seen().journal = Reader::open(folder).ok();
    }

    pub(crate) fn observer(&self) -> Observer {
        let seen = Arc::clone(&self.0);
        Observer::new(move |happening: &Happening| {
            if happening.what == What::Deleted {
                seen.lock().unwrap_or_else(PoisonError::into_inner).deleted(&happening.body);
            }
        })
    }

    /// How many there were, and the bodies of those that were not in the journal.
    pub(crate) fn all(&self) -> (usize, Vec<String>) {
        let seen = self.seen();
        (seen.deletions, seen.too_early.clone())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn deleted(&mut self, body: &str) {
        self.deletions += 1;
        let id = vod_event::read(body.as_bytes()).ok().map(|event| event.id());
        let is_durable = |seen: &Self| id.is_some_and(|id| seen.durable.contains(&id));
        if !is_durable(self) {
            self.catch_up();
        }
        if !is_durable(self) {
            self.too_early.push(body.to_owned());
        }
    }

    /// Takes in what was committed since the last look.
    fn catch_up(&mut self) {
        let Self { journal: Some(journal), durable, up_to, .. } = self else { return };
        loop {
            // An error finds nothing, and so shows as a deletion that came too early.
            let page = journal.events_since(*up_to, PAGE).unwrap_or_default();
            durable.extend(page.iter().map(|event| event.id));
            *up_to = page.last().map_or(*up_to, |event| event.seq);
            if page.len() < PAGE {
                break;
            }
        }
    }
}
