//! One go over the images of an event: what is not kept yet is fetched, and the record is written again soon after each,
//! so that a slow image costs the others nothing, even where the sink's time limit ends it all.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::{Instant, timeout_at};
use url::Url;
use vod_event::Image;
use vodrelay_core::sink::Retry;
use vodrelay_core::{Delivery, Envelope, Receipt, SinkError};

use super::failure::Failure;
use super::fetch::{Visit, fetch};
use super::fetches::Place;
use super::image_hosts::{ImageHost, Plan};
use super::keep::{Item, Trouble};
use super::record::{Kept, State};
use super::{Archive, Written};

/// How long the record may lack what became of an image while the next one is under way.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

/// A delivery, from the first writing of its record on.
pub(super) struct Round<'a> {
    archive: &'a Archive,
    delivery: &'a Delivery,
    notes: Notes,
    place: Option<Place<'a>>,
    failures: Vec<(usize, Failure)>,
    /// Whether any of them is of this round, and not known from an earlier one.
    has_failed: bool,
    /// Why an image was not asked for, and when to come back for it.
    postponed: Option<SinkError>,
}

/// The record, and what it does not say yet.
struct Notes {
    written: Written,
    written_at: Instant,
    missing: Vec<(usize, State)>,
}

impl<'a> Round<'a> {
    pub(super) fn new(archive: &'a Archive, delivery: &'a Delivery, written: Written) -> Self {
        let notes = Notes { written, written_at: Instant::now(), missing: Vec::new() };
        Self {
            archive,
            delivery,
            notes,
            place: None,
            failures: Vec::new(),
            has_failed: false,
            postponed: None,
        }
    }

    /// Sees to all images, each attempt beginning with another one: what takes an attempt to its time limit is not the
    /// first in the next.
    pub(super) async fn see_to_all(
        mut self,
        images: &[Image],
        plans: &[Plan<'_>],
    ) -> Result<Receipt, SinkError> {
        let all = images.iter().zip(plans).enumerate();
        let first = (self.delivery.attempt.saturating_sub(1) as usize).checked_rem(images.len()).unwrap_or(0);
        for (place, (image, plan)) in all.clone().skip(first).chain(all.take(first)) {
            let Plan::Fetch(host, url) = plan else { continue };
            if self.stands(place).await? {
                continue;
            }
            if let Some(failure) = self.failed_for_ever(place) {
                self.failures.push((place, failure));
                continue;
            }
            let item = Item { envelope: &self.delivery.envelope, image, place };
            let visit = match host.visit(item.number(), url, self.archive.clock.now()) {
                Ok(visit) => visit,
                Err(resting) => {
                    self.postpone(resting);
                    continue;
                }
            };
            if let Err(full) = self.take_place().await {
                self.postpone(full);
                break;
            }
            self.see_to(item, host, url, visit).await?;
        }
        self.place = None;
        self.notes.write(self.archive, &self.delivery.envelope).await?;
        self.end()
    }

    /// Whether the image is kept and stands there. One that its record calls kept and that is gone is fetched anew.
    async fn stands(&mut self, place: usize) -> Result<bool, SinkError> {
        let (archive, written) = (self.archive, &mut self.notes.written);
        let Some(key) = written.record.key_of_kept(place) else { return Ok(written.record.has_kept(place)) };
        if !written.stood_before || archive.store.has_key(&key).await? {
            return Ok(true);
        }
        tracing::warn!(
            sink = %archive.name,
            event.id = %self.delivery.envelope.id,
            key,
            "an image that its record calls kept is not in the store; it is fetched anew"
        );
        written.record.forget(place);
        Ok(false)
    }

    /// What an earlier attempt found out, and no further one can mend. A replay tries all the same, once.
    fn failed_for_ever(&self, place: usize) -> Option<Failure> {
        let is_asked_for = self.delivery.replay > 0 && self.delivery.tries == 0;
        let (cause, reason) = self.notes.written.record.failure(place).filter(|_| !is_asked_for)?;
        Failure::for_ever(&cause, &reason)
    }

    /// A place is for all images of the event.
    async fn take_place(&mut self) -> Result<(), SinkError> {
        if self.place.is_none() {
            self.place = Some(self.archive.fetches.place().await?);
        }
        Ok(())
    }

    /// Of several waits the least counts.
    fn postpone(&mut self, later: SinkError) {
        let sooner = self.postponed.as_ref().is_none_or(|other| wait(&later) < wait(other));
        if sooner {
            self.postponed = Some(later);
        }
    }

    /// Sees to one image, and meanwhile notes what became of those before it.
    ///
    /// # Errors
    /// If the store is in trouble: nothing else can be kept either.
    async fn see_to(
        &mut self,
        item: Item<'_>,
        host: &ImageHost,
        url: &Url,
        visit: Visit<'_>,
    ) -> Result<(), SinkError> {
        let (archive, envelope) = (self.archive, &self.delivery.envelope);
        let mut fetching = pin!(archive.image(&item, host, url, visit, self.notes.written.stood_before));
        let (fetched, noted) = match timeout_at(self.notes.due(), &mut fetching).await {
            Ok(fetched) => (fetched, Ok(())),
            Err(_due) => join(fetching, self.notes.write(archive, envelope)).await,
        };
        let in_trouble = match fetched {
            Ok(state) => {
                self.notes.add(archive, item.place, state);
                None
            }
            Err(Trouble::Image(failure)) => {
                self.notes.add(archive, item.place, State::from(&failure));
                self.failures.push((item.place, failure));
                self.has_failed = true;
                None
            }
            Err(Trouble::Store(error)) => Some(error),
        };
        noted?;
        if let Some(error) = in_trouble {
            // What is kept may still be noted; the trouble is told in any case.
            let _ = self.notes.write(archive, envelope).await;
            return Err(error);
        }
        Ok(())
    }

    /// What the dispatcher is told.
    fn end(mut self) -> Result<Receipt, SinkError> {
        // What another relay has kept meanwhile has not failed.
        self.failures.retain(|(place, _)| !self.notes.written.record.has_kept(*place));
        match (Failure::of_all(&self.failures), self.postponed) {
            (None, None) => Ok(Receipt::default()),
            (Some(failed), None) => Err(failed),
            (Some(failed), Some(postponed)) if self.has_failed => Err(failed_beside(&failed, &postponed)),
            (_, Some(postponed)) => Err(postponed),
        }
    }
}

/// An attempt was made and has failed, and others are still waiting for theirs: those must not be given up with it.
fn failed_beside(failed: &SinkError, postponed: &SinkError) -> SinkError {
    let after = match failed.retry {
        Retry::Temporary { after, .. } => after,
        _ => Some(wait(postponed)),
    };
    let retry = Retry::Temporary { after, give_up_after: Some(Duration::MAX) };
    SinkError { retry, status: failed.status, message: format!("{}; {}", failed.message, postponed.message) }
}

fn wait(postponed: &SinkError) -> Duration {
    if let Retry::Postponed { after } = postponed.retry { after } else { Duration::ZERO }
}

impl Notes {
    /// When to write the record again, whatever is under way.
    fn due(&self) -> Instant {
        let is_complete = self.missing.is_empty();
        if is_complete { Instant::now() + Duration::from_hours(24) } else { self.written_at + NOTED_WITHIN }
    }

    fn add(&mut self, archive: &Archive, place: usize, state: State) {
        archive.meter.came_to(&state);
        self.missing.push((place, state));
    }

    async fn write(&mut self, archive: &Archive, envelope: &Envelope) -> Result<(), SinkError> {
        archive.write_again(envelope, &mut self.written, &self.missing).await?;
        self.missing.clear();
        self.written_at = Instant::now();
        Ok(())
    }
}

impl Archive {
    /// Keeps one image: it is read where an earlier attempt has left it without a word, else fetched.
    async fn image(
        &self,
        item: &Item<'_>,
        host: &ImageHost,
        url: &Url,
        mut visit: Visit<'_>,
        record_stood_before: bool,
    ) -> Result<State, Trouble> {
        if record_stood_before && let Some(kept) = item.left_behind(&self.store).await? {
            return Ok(State::Kept(kept));
        }
        visit.begin();
        let begun = Instant::now();
        let kept = match fetch(host, url, self.clock.now()).await {
            Ok(body) => item.keep(&self.store, body).await,
            Err(failure) => Err(Trouble::Image(failure)),
        };
        self.meter.fetched(begun.elapsed(), kept.as_ref().ok().map(Kept::bytes));
        let failure = kept.as_ref().err().and_then(Trouble::of_image);
        visit.end(failure, self.clock.now());
        // The record is new where somebody took the old one away, and the image may have outlived it and its host.
        if failure.is_some()
            && !record_stood_before
            && let Some(left) = item.left_behind(&self.store).await?
        {
            return Ok(State::Kept(left));
        }
        kept.map(State::Kept)
    }
}
