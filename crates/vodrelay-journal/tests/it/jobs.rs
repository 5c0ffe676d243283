//! Replays that go on by themselves, over a restart.

use vodrelay_core::Ledger;
use vodrelay_core::replay::{Job, JobState, Request, What};

use crate::bench::Bench;

#[tokio::test]
async fn what_was_at_work_when_the_relay_went_down_is_interrupted() {
    let bench = Bench::new();
    let job = |state| Job {
        state,
        ..Job::new(Request::new(What::Unrouted), None, "2026-11-01T10:00:00Z".parse().unwrap())
    };
    for state in [JobState::Running, JobState::Done, JobState::Cancelled] {
        bench.journal.note_job(job(state)).await.unwrap();
    }
    let bench = bench.crash();
    let states: Vec<JobState> =
        bench.journal.jobs(None, 9).await.unwrap().iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Cancelled, JobState::Done, JobState::Interrupted]);
    assert_eq!(bench.journal.note_job(job(JobState::Running)).await, Ok(4));
    let bench = bench.restart().await;
    assert_eq!(bench.journal.job(4).await.unwrap().unwrap().state, JobState::Interrupted);
}
