//! Replays that go on by themselves: each a task that takes step after step, and notes how far it is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use vodrelay_core::replay::{Job, JobState, ReplayError, Request};

use crate::router::Shared;

/// At work at once; more would only take turns.
const MOST: usize = 4;
/// Between two steps, so that appends have the journal in between.
const PAUSE: Duration = Duration::from_millis(10);
/// How far a job is, is noted about so often: nobody needs it but whoever asks after a crash.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// The jobs at work. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replays(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    jobs: BTreeMap<u64, (Job, CancellationToken)>,
    /// Those that are about to begin.
    coming: usize,
}

/// Why a job does not begin.
pub(crate) enum NotBegun {
    /// Others are at work.
    Busy,
    Refused(ReplayError),
}

impl Replays {
    /// Begins a job that is noted before it does anything.
    pub(crate) async fn begin(
        &self,
        state: &Shared,
        request: Request,
        token: Option<String>,
    ) -> Result<Job, NotBegun> {
        state.replayer.check(&request).map_err(NotBegun::Refused)?;
        let place = self.place().ok_or(NotBegun::Busy)?;
        let mut job = Job::new(request, token, state.clock.now());
        job.id = state.ledger.note_job(job.clone()).await.map_err(|error| NotBegun::Refused(error.into()))?;
        let cancelled = CancellationToken::new();
        self.running().jobs.insert(job.id, (job.clone(), cancelled.clone()));
        drop(place);
        tokio::spawn(self.clone().carry_out(Arc::clone(state), job.clone(), cancelled));
        Ok(job)
    }

    /// How a job stands that is at work, or of which the journal does not know how it ended.
    pub(crate) fn find(&self, id: u64) -> Option<Job> {
        self.running().jobs.get(&id).map(|(job, _)| job.clone())
    }

    /// Has a job end after the step in hand; says whether it is at work.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let running = self.running();
        let job = running.jobs.get(&id).filter(|(job, _)| job.state == JobState::Running);
        job.inspect(|(_, cancelled)| cancelled.cancel()).is_some()
    }

    async fn carry_out(self, state: Shared, mut job: Job, cancelled: CancellationToken) {
        let (how, error) = self.step_until_the_end(&state, &mut job, &cancelled).await;
        job.end(how, state.clock.now(), error);
        tracing::info!(
            job = job.id,
            by = job.token.as_deref(),
            how = job.state.as_str(),
            error = job.error.as_deref(),
            what = job.request.what.as_str(),
            replay.again = job.done.again,
            replay.added = job.done.added,
            replay.read = job.done.read,
            "a replay has ended"
        );
        if let Err(error) = state.ledger.note_job(job.clone()).await {
            tracing::warn!(job = job.id, %error, "how a replay ended could not be noted; after the next start it is told as interrupted");
            self.running().jobs.insert(job.id, (job, cancelled));
            return;
        }
        self.running().jobs.remove(&job.id);
    }

    async fn step_until_the_end(
        &self,
        state: &Shared,
        job: &mut Job,
        cancelled: &CancellationToken,
    ) -> (JobState, Option<String>) {
        let (mut request, mut noted) = (job.request.clone(), Instant::now());
        loop {
            if cancelled.is_cancelled() {
                return (JobState::Cancelled, None);
            }
            if state.draining.load(Ordering::Relaxed) {
                return (JobState::Interrupted, None);
            }
            let step = match state.replayer.step(&request).await {
                Ok(step) => step,
                Err(error) => return (JobState::Failed, Some(error.to_string())),
            };
            job.add(&step);
            if let Some((known, _)) = self.running().jobs.get_mut(&job.id) {
                *known = job.clone();
            }
            request.after = step.next;
            if step.next.is_none() {
                return (JobState::Done, None);
            }
            if noted.elapsed() > NOTE_EVERY {
                noted = Instant::now();
                if let Err(error) = state.ledger.note_job(job.clone()).await {
                    return (JobState::Failed, Some(error.to_string()));
                }
            }
            sleep(PAUSE).await;
        }
    }

    fn place(&self) -> Option<Place<'_>> {
        let mut running = self.running();
        let at_work = running.jobs.values().filter(|(job, _)| job.state == JobState::Running).count();
        if at_work + running.coming >= MOST {
            return None;
        }
        running.coming += 1;
        Some(Place(self))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by a job that is about to begin.
struct Place<'a>(&'a Replays);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.running().coming -= 1;
    }
}
