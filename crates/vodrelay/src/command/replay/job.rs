//! A replay that the relay carries out, and that is looked after until it ends.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};
use vodrelay_core::replay::{JobState, Request};

use super::Outcome;
use crate::command::ask::RunningRelay;
use crate::command::stop::until_asked_to_stop;
use crate::exit::{Code, Failure};
use crate::output::note;
use crate::output::progress::Progress;

/// Between two looks, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// So long a relay may be away, as it is when it is started again.
const AWAY: Duration = Duration::from_secs(30);

/// How a job stands.
#[derive(Debug, Deserialize)]
struct Job {
    id: u64,
    state: JobState,
    error: Option<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Begins a job, and adds what it came to, however it ends.
pub(super) async fn carry_out(
    relay: &RunningRelay,
    request: &Request,
    total: &mut Outcome,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let begun: Job = relay.post("/replays", request).await?;
    let mut job = Watched { relay, job: begun, seen_at: Instant::now() };
    let (mut look, mut is_cancelled) = (FIRST_LOOK, false);
    let mut stop = std::pin::pin!(until_asked_to_stop());
    while job.job.state == JobState::Running {
        tokio::select! {
            () = &mut stop, if !is_cancelled => {
                is_cancelled = true;
                progress.end();
                job.cancel().await?;
                look = FIRST_LOOK;
            }
            () = sleep(look) => look = (look * 2).min(LONGEST_LOOK),
        }
        job.look().await?;
        let mut so_far = Outcome::default();
        so_far.add_figures(total);
        so_far.add_figures(&job.job.outcome);
        progress.show(so_far.looked_at, &so_far.so_far());
    }
    let Job { id, state, error, outcome } = job.job;
    total.add(outcome);
    let ended = |code, message: String| Err(Failure::new(code, message));
    match state {
        JobState::Done => Ok(()),
        JobState::Cancelled => ended(
            Code::Interrupted,
            format!(
                "replay {id} was ended; what it has replayed stays so, and saying it again takes up the rest"
            ),
        ),
        JobState::Interrupted => ended(
            Code::Unreachable,
            format!(
                "the relay stopped under replay {id}; what it has replayed stays so, and saying it again takes up the rest"
            ),
        ),
        _ => ended(Code::Unreachable, format!("replay {id} failed: {}", error.unwrap_or_default())),
    }
}

struct Watched<'r> {
    relay: &'r RunningRelay,
    job: Job,
    seen_at: Instant,
}

impl Watched<'_> {
    async fn look(&mut self) -> Result<(), Failure> {
        let id = self.job.id;
        match self.relay.get(&format!("/replays/{id}"), super::NOTHING).await {
            Ok(job) => {
                (self.job, self.seen_at) = (job, Instant::now());
                Ok(())
            }
            Err(failure) if failure.code == Code::Unreachable && self.seen_at.elapsed() < AWAY => Ok(()),
            Err(Failure { code, message }) => {
                let message = format!(
                    "{message}\n  how replay {id} stands is not known; where the relay runs, it goes on"
                );
                Err(Failure { code, message })
            }
        }
    }

    async fn cancel(&self) -> Result<(), Failure> {
        let id = self.job.id;
        note(format!("asking the relay to end replay {id} after the step in hand"));
        match self.relay.delete::<Job>(&format!("/replays/{id}")).await {
            // It has ended by itself just now.
            Err(failure) if failure.code != Code::Usage => Err(failure),
            _ => Ok(()),
        }
    }
}
