//! The whole relay, composed: the journal is opened, sinks are built, and every part runs until it is told to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vodrelay_admin::{AdminState, Metrics};
use vodrelay_core::config::{ConfigError, Surroundings};
use vodrelay_core::{
    Clock, Dispatcher, Intake, Journal, JournalError, Ledger, Name, Readmission, RefusalKeeper, Replayer,
    Sink, SinkBacklog, SinkFactory, Source, Standings, SystemClock,
};
use vodrelay_http::{CallbackJudge, Receiver};
use vodrelay_journal::{OpenError, RefusedBounds, SqliteJournal};
use vodrelay_mns::QueueSource;

use crate::config::{Config, Loaded};
use crate::sockets::{SocketError, Sockets};

/// How long deliveries under way may take to end when the relay stops.
const GRACE: Duration = Duration::from_secs(20);
/// How long answers may take to leave when the journal is poisoned; the process is to be gone within a second.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A relay that has everything it needs: listeners bound, journal open, sinks built.
#[derive(Debug)]
pub struct Relay {
    journal: SqliteJournal,
    refusals: RefusalKeeper,
    dispatchers: Vec<Dispatcher>,
    receiver: Arc<Receiver>,
    queues: Vec<QueueSource>,
    intake: Intake,
    admin: AdminState,
    http_listener: TcpListener,
    admin_listener: TcpListener,
}

/// Why a relay could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    #[error("the configuration is wrong\n  {0}")]
    Config(#[from] ConfigError),
    /// The journal could not be opened.
    #[error("{0}")]
    Journal(#[from] OpenError),
    /// What a supervisor handed over cannot be used.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// An address could not be bound.
    #[error("cannot listen on {address} ({key}): {error}")]
    Listen {
        /// The key that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Builds every configured sink.
///
/// # Errors
/// With the path of the first key that is wrong.
pub fn build_sinks(
    config: &Config,
    surroundings: &Surroundings,
    factories: &[Arc<dyn SinkFactory>],
) -> Result<BTreeMap<Name, Arc<dyn Sink>>, ConfigError> {
    let build = |(name, sink): (&Name, &crate::config::SinkConfig)| {
        let at = format!("sinks.{name}");
        let factory = factories.iter().find(|factory| factory.kind() == sink.kind).ok_or_else(|| {
            let known: Vec<&str> = factories.iter().map(|factory| factory.kind()).collect();
            let message = format!("{:?} is no kind of sink; there are: {}", sink.kind, known.join(", "));
            ConfigError::new(format!("{at}.kind"), message)
        })?;
        let built = factory.build(name.clone(), sink.options(surroundings));
        Ok((name.clone(), built.map_err(|error| error.within(&format!("{at}.options")))?))
    };
    config.sinks.iter().map(build).collect()
}

/// The built-in kinds of sinks, and these.
#[must_use]
pub fn factories(own: Vec<Arc<dyn SinkFactory>>) -> Vec<Arc<dyn SinkFactory>> {
    let mut all = own;
    all.extend(vodrelay_sinks::factories(Arc::new(SystemClock)));
    all
}

impl Relay {
    /// Checks the configuration, takes the listeners that were handed over and binds the others, opens the journal,
    /// builds the sinks.
    ///
    /// # Errors
    /// With what is wrong and what to do; nothing runs then.
    pub async fn start(
        loaded: &Loaded,
        own_factories: Vec<Arc<dyn SinkFactory>>,
        metrics: Metrics,
        mut sockets: Sockets,
    ) -> Result<Self, StartError> {
        let Loaded { config, surroundings, data_dir, .. } = loaded;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let sinks = build_sinks(config, surroundings, &factories(own_factories))?;
        let settings = config.http.resolve(surroundings)?;
        let queues = config.mns.resolve(surroundings)?;
        let admin_settings = admin_settings(config, surroundings, &sockets)?;
        let http_listener = sockets.http(config.http.listen).await?;
        let admin_listener = sockets.admin(config.admin.listen).await?;

        let bounds = RefusedBounds { keep: config.http.refused.keep, max_age: config.http.refused.max_age };
        let journal = SqliteJournal::open(data_dir, config.journal, bounds, Arc::clone(&clock))?;
        let as_journal: Arc<dyn Journal> = Arc::new(journal.clone());
        let ledger: Arc<dyn Ledger> = Arc::new(journal.clone());
        let routes = Arc::new(config.routes());
        let judge = Arc::new(CallbackJudge::new(&settings));
        let readmission =
            Readmission::new(Arc::clone(&as_journal), Arc::clone(&routes), Arc::clone(&ledger), judge);
        let (intake, refusals) = Intake::new(Arc::clone(&as_journal), Arc::clone(&routes));
        let standings = Standings::default();
        let dispatcher = |(name, sink)| {
            let settings =
                config.sinks.get(&name).map(crate::config::SinkConfig::settings).unwrap_or_default();
            Dispatcher::new(name, sink, Arc::clone(&as_journal), Arc::clone(&clock), settings)
                .telling(&standings)
        };
        warn_of(config, &queues.warnings);
        warn_of_orphans(config, &journal).await;
        Ok(Self {
            refusals,
            dispatchers: sinks.into_iter().map(dispatcher).collect(),
            receiver: Receiver::new(settings, intake.clone(), Arc::clone(&clock)),
            queues: queues
                .queues
                .into_iter()
                .map(|queue| QueueSource::new(queue, Arc::clone(&clock)))
                .collect(),
            intake,
            admin: AdminState {
                replayer: Replayer::new(Arc::clone(&ledger), Arc::clone(&routes)),
                routes,
                ledger,
                draining: Arc::default(),
                metrics,
                clock,
                tokens: admin_settings.tokens,
                sinks: config.sinks.keys().cloned().collect(),
                sources: config.sources(),
                readmission: Arc::new(readmission),
                standings,
            },
            journal,
            http_listener,
            admin_listener,
        })
    }

    /// The addresses that were bound: the callback receiver's, the admin listener's.
    #[must_use]
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.http_listener.local_addr().ok(), self.admin_listener.local_addr().ok())
    }

    /// The journal's side for people.
    #[must_use]
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.journal.clone())
    }

    /// Runs until the token is cancelled: then the queues finish what is in hand and the dispatchers get some time,
    /// callbacks are received until those are done, and the journal is closed last. So a stop costs the provider no try but those that meet the moment between this
    /// process and the next.
    ///
    /// # Errors
    /// If the journal was poisoned: nothing more is accepted, and the process is to exit at once.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), JournalError> {
        let Self {
            journal,
            refusals,
            dispatchers,
            receiver,
            queues,
            intake,
            admin,
            http_listener,
            admin_listener,
        } = self;
        let ledger: Arc<dyn Ledger> = Arc::new(journal.clone());
        let poisoned = journal.poisoned();
        let (stop_receiving, stop_admin) = (CancellationToken::new(), CancellationToken::new());

        let mut delivering = Parts::new();
        for dispatcher in dispatchers {
            delivering.spawn(dispatcher.run(shutdown.clone(), GRACE));
        }
        let mut receiving = Parts::new();
        let (served, stop) = (Arc::clone(&receiver), stop_receiving.clone());
        receiving.spawn(async move {
            let served = vodrelay_http::serve(http_listener, served, stop).await;
            served.map_err(|error| JournalError::Failed(format!("the callback receiver stopped: {error}")))
        });
        for queue in queues {
            let (intake, stop) = (intake.clone(), shutdown.clone());
            receiving.spawn(async move {
                let polled = queue.run(intake, stop).await;
                polled.map_err(|error| JournalError::Failed(error.to_string()))
            });
        }
        // The refusals are complete when the last intake is gone.
        drop(intake);
        let keeping = tokio::spawn(refusals.run(ledger));
        let draining = Arc::clone(&admin.draining);
        let admin = tokio::spawn(vodrelay_admin::serve(admin_listener, admin, stop_admin.clone()));
        let stopping = shutdown.clone();
        tokio::spawn(async move {
            stopping.cancelled().await;
            draining.store(true, Ordering::Relaxed);
            receiver.drain();
        });

        let result = tokio::select! {
            // A queue that ends for the same reason must not be what is heard of it.
            biased;
            reason = poisoning(poisoned) => Err(JournalError::Poisoned(reason)),
            result = finish(&shutdown, &mut delivering, &stop_receiving, &mut receiving) => result,
        };
        if let Err(JournalError::Poisoned(_)) = result {
            // Whoever waits for an answer gets a 503; nobody is waited for longer than that takes.
            shutdown.cancel();
            stop_receiving.cancel();
            let _ = timeout(LAST_WORDS, async { while receiving.join_next().await.is_some() {} }).await;
            return result;
        }
        // The last connection takes its intake with it; whatever still hangs then is not worth waiting for.
        let _ = timeout(Duration::from_secs(2), keeping).await;
        stop_admin.cancel();
        let _ = admin.await;
        result.and(journal.close().await)
    }
}

/// Tasks of one kind.
type Parts = JoinSet<Result<(), JournalError>>;

/// Waits until the dispatchers are done, which they are only after the stop was asked for, then stops receiving. The
/// first part that fails ends the wait.
async fn finish(
    shutdown: &CancellationToken,
    delivering: &mut Parts,
    stop_receiving: &CancellationToken,
    receiving: &mut Parts,
) -> Result<(), JournalError> {
    let deliver = async {
        all(delivering).await?;
        // Without a sink there is no dispatcher to wait for.
        shutdown.cancelled().await;
        stop_receiving.cancel();
        Ok(())
    };
    tokio::try_join!(deliver, all(receiving)).map(drop)
}

async fn all(parts: &mut Parts) -> Result<(), JournalError> {
    while let Some(part) = parts.join_next().await {
        part.unwrap_or_else(|panic| {
            Err(JournalError::Failed(format!("a part of the relay broke: {panic}")))
        })?;
    }
    Ok(())
}

async fn poisoning(mut poisoned: watch::Receiver<Option<String>>) -> String {
    let reason = poisoned.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    match reason {
        Some(reason) => reason,
        // The journal was closed in good health.
        None => std::future::pending().await,
    }
}

/// A socket that was handed over has an address of its own, which has to be as safe as a configured one.
fn admin_settings(
    config: &Config,
    surroundings: &Surroundings,
    sockets: &Sockets,
) -> Result<vodrelay_admin::Settings, ConfigError> {
    let mut admin = config.admin.clone();
    admin.listen = sockets.admin_address().unwrap_or(admin.listen);
    admin.resolve(surroundings)
}

/// Deliveries of sinks that are no longer configured wait until those are configured again.
#[must_use]
pub fn orphans(config: &Config, backlogs: Vec<SinkBacklog>) -> Vec<SinkBacklog> {
    let is_orphan = |backlog: &SinkBacklog| backlog.pending > 0 && !config.sinks.contains_key(&backlog.sink);
    backlogs.into_iter().filter(is_orphan).collect()
}

async fn warn_of_orphans(config: &Config, ledger: &dyn Ledger) {
    let backlogs = match ledger.backlogs().await {
        Ok(backlogs) => backlogs,
        Err(error) => {
            return tracing::warn!(%error, "the backlogs could not be read, so orphaned deliveries would go unseen");
        }
    };
    for SinkBacklog { sink, pending, .. } in orphans(config, backlogs) {
        tracing::error!(%sink, pending, "deliveries are orphaned: their sink is no longer configured; they wait until it is again");
    }
}

fn warn_of(config: &Config, of_queues: &[String]) {
    for warning in of_queues {
        tracing::warn!("{warning}");
    }
    if config.first_source().is_none() {
        tracing::warn!(
            "neither [http.callbacks.NAME] nor [mns.queues.NAME] is configured, so no event can come in"
        );
    }
    if config.sinks.is_empty() {
        tracing::warn!("no [sinks.NAME] is configured, so every event is kept as unrouted");
    }
}
