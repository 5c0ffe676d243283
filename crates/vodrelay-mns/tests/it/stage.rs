//! A queue on the emulator, a journal in memory, the source between them, and a time that stands until it is moved.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use mns_emulator::{Attributes, Clock, Emulator, Happening, Observer, Operation, Settings, What};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;
use vod_event::EventId;
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{MemoryJournal, event_body};
use vodrelay_core::{
    Appended, Claimed, Envelope, Intake, Journal, JournalError, Pauses, Routes, Seq, SettleResult, Settled,
    SinkName, Source, SourceError, SystemClock,
};
use vodrelay_mns::{Config, QueueSettings, QueueSource};

/// A journal whose appends can be held up.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) inner: MemoryJournal,
    open: watch::Sender<bool>,
    /// The only event that is held up, if there is one.
    pub(crate) straggler: Mutex<Option<EventId>>,
    /// The only event that is refused, if there is one.
    pub(crate) refused: Mutex<Option<EventId>>,
    pub(crate) waiting: AtomicUsize,
}

#[async_trait]
impl Journal for Gated {
    async fn append(&self, envelope: &Envelope, sinks: &[SinkName]) -> Result<Appended, JournalError> {
        if *self.refused.lock().unwrap() == Some(envelope.id) {
            return Err(JournalError::Invalid("the labels are larger than 65536 bytes".to_owned()));
        }
        let straggler = *self.straggler.lock().unwrap();
        if straggler.is_some_and(|straggler| straggler != envelope.id) {
            return self.inner.append(envelope, sinks).await;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.inner.append(envelope, sinks).await
    }

    async fn claim(&self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError> {
        self.inner.claim(sink, limit, lease).await
    }

    async fn settle(&self, outcomes: &[Settled]) -> Result<Vec<SettleResult>, JournalError> {
        self.inner.settle(outcomes).await
    }

    fn watch_work(&self) -> watch::Receiver<Seq> {
        self.inner.watch_work()
    }

    fn watch_pauses(&self) -> watch::Receiver<Pauses> {
        self.inner.watch_pauses()
    }
}

impl Gated {
    pub(crate) fn open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

pub(crate) struct Stage {
    pub(crate) emulator: Emulator,
    pub(crate) journal: Arc<Gated>,
    pub(crate) intake: Intake,
    /// Bodies that were deleted before they were durable.
    too_early: Arc<Mutex<Vec<String>>>,
    /// Without it a paused runtime moves its time to the next timer whenever it has nothing to do, and every request
    /// on a socket would time out at once.
    _standing_still: mpsc::Sender<()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), Routes::new(Vec::new())).await
    }

    /// On a paused runtime; the emulator's time stands as well.
    pub(crate) async fn with(settings: Settings, routes: Routes) -> Self {
        let (standing_still, end) = mpsc::channel();
        spawn_blocking(move || end.recv());
        let journal = Arc::new(Gated {
            inner: MemoryJournal::new(Arc::new(SystemClock)),
            open: watch::Sender::new(true),
            straggler: Mutex::default(),
            refused: Mutex::default(),
            waiting: AtomicUsize::new(0),
        });
        let too_early = Arc::<Mutex<Vec<String>>>::default();
        let observer = Observer::new({
            let (journal, too_early) = (Arc::clone(&journal), Arc::clone(&too_early));
            move |happening: &Happening| {
                if happening.what == What::Deleted && !is_durable(&journal, &happening.body) {
                    too_early.lock().unwrap().push(happening.body.clone());
                }
            }
        });
        let clock = Clock::frozen_at(Clock::running().now());
        let settings = Settings { clock, observer: Some(observer), ..settings };
        let emulator = Emulator::start(settings).await.unwrap();
        emulator.create_queue("vod-events", Attributes::default()).unwrap();
        let as_journal: Arc<dyn Journal> = Arc::<Gated>::clone(&journal);
        let (intake, _) = Intake::new(as_journal, Arc::new(routes));
        Self { emulator, journal, intake, too_early, _standing_still: standing_still }
    }

    /// The queue as the configuration would have it, with these keys added.
    pub(crate) fn queue(&self, name: &str, queue: &str, more: &str) -> QueueSettings {
        let endpoint = self.emulator.endpoint();
        settings(&format!(
            "[queues.{name}]\nendpoint = \"{endpoint}\"\nqueue = \"{queue}\"\n\
             credentials = {{ kind = \"static\", access_key_id = \"AK\", access_key_secret = \"SK\" }}\n{more}"
        ))
    }

    pub(crate) fn start(&self) -> Running {
        self.start_queue(self.queue("main", "vod-events", ""))
    }

    pub(crate) fn start_queue(&self, queue: QueueSettings) -> Running {
        let stop = CancellationToken::new();
        let source = QueueSource::new(queue, Arc::new(SystemClock));
        let (intake, shutdown) = (self.intake.clone(), stop.clone());
        Running { stop, task: tokio::spawn(async move { source.run(intake, shutdown).await }) }
    }

    /// Puts events into the queue, as VOD does.
    pub(crate) fn send(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.emulator.send("vod-events", text(number).as_str()).unwrap();
        }
    }

    pub(crate) fn in_queue(&self) -> usize {
        self.emulator.messages("vod-events").len()
    }

    pub(crate) fn in_journal(&self) -> usize {
        self.journal.inner.events().len()
    }

    pub(crate) fn polls(&self) -> u64 {
        self.emulator.ledger().of(Operation::BatchReceiveMessage).requests
    }

    /// Moves both times ahead, in steps that leave real time for what happens on sockets.
    pub(crate) async fn pass(&self, span: Duration, step: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = step.min(left);
            left -= step;
            tokio::time::advance(step).await;
            self.emulator.clock().advance(step);
            breathe().await;
        }
    }

    /// Moves time ahead until it holds.
    pub(crate) async fn pass_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..3_000 {
            if holds(self) {
                return;
            }
            self.pass(Duration::from_millis(200), Duration::from_millis(200)).await;
        }
        panic!("{what} did not happen within ten minutes");
    }

    /// Lets things happen that need no time, until it holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..5_000 {
            if holds(self) {
                return;
            }
            breathe().await;
        }
        panic!("{what} did not happen");
    }

    /// What the observer knows.
    pub(crate) fn check_nothing_was_deleted_too_early(&self) {
        assert_eq!(*self.too_early.lock().unwrap(), [""; 0]);
    }
}

/// A source that runs.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), SourceError>>,
}

impl Running {
    /// As kill -9 would end it: nothing of it runs any more.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A moment of real time, in which none passes for the relay.
pub(crate) async fn breathe() {
    spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
    // Each turn looks at the sockets once, so that a busy machine does not leave a request half way.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn settings(text: &str) -> QueueSettings {
    let config: Config = toml::from_str(text).unwrap();
    config.resolve(&Surroundings::default()).unwrap().queues.remove(0)
}

pub(crate) fn text(number: usize) -> String {
    String::from_utf8(event_body(number).to_vec()).unwrap()
}

fn is_durable(journal: &Gated, message: &str) -> bool {
    let body = vod_event::queue::decode_body(message.as_bytes());
    let id = vod_event::read(&body).map_or_else(|_| EventId::of_raw(&body), |reading| reading.id());
    journal.inner.events().iter().any(|event| event.id == id)
}
