//! A journal in which a million events wait for a sink that is down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::task::JoinSet;
use vodrelay_core::config::ByteSize;
use vodrelay_core::routing::Filter;
use vodrelay_core::{Arrival, Clock, Intake, Labels, Name, Routes, SourceName, SystemClock};
use vodrelay_journal::{Config, RefusedBounds, SqliteJournal};

use crate::relay::{DATA, SINK};
use crate::{Bench, callback, clock, load};

pub(crate) const EVENTS: u64 = 1_000_000;
/// As many as fill a commit.
const WRITERS: usize = 1_024;

impl Bench {
    /// The folder of a relay whose journal holds them; made when it is first asked for, through the library, by the
    /// same intake that callbacks take.
    pub(crate) fn million(&mut self) -> Result<PathBuf, String> {
        if let Some(folder) = &self.million {
            return Ok(folder.clone());
        }
        let folder = self.folder.join("million");
        fill(&folder.join(DATA))?;
        self.million = Some(folder.clone());
        Ok(folder)
    }
}

#[tokio::main]
async fn fill(folder: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot fill a journal: {error}");
    let config = Config { min_free: ByteSize(16 << 20), ..Config::default() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let journal = SqliteJournal::open(folder, config, RefusedBounds::default(), clock)
        .map_err(|error| failed(&error))?;
    let name = |text| Name::new(text).map_err(|error| failed(&error));
    let routes = Routes::new(vec![(name(SINK)?, Filter::default())]);
    let (intake, _keeper) = Intake::new(Arc::new(journal.clone()), Arc::new(routes));
    let source = SourceName::callback(&name("main")?);
    let left = Arc::new(AtomicU64::new(EVENTS));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(write(intake.clone(), source.clone(), Arc::clone(&left)));
    }
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    }
    journal.close().await.map_err(|error| failed(&error))
}

async fn write(
    intake: Intake,
    source: SourceName,
    left: Arc<AtomicU64>,
) -> Result<(), vodrelay_core::JournalError> {
    let (mut body, labels) = (callback::body(), Arc::new(Labels::new()));
    let take_one = |left: u64| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_ok() {
        let arrival = Arrival {
            source: source.clone(),
            body: Bytes::copy_from_slice(body.with(load::next_number())),
            received_at: clock::now(),
            labels: Arc::clone(&labels),
            trace: None,
        };
        intake.accept(arrival).await?;
    }
    Ok(())
}
