//! The whole relay, composed: the journal is opened, sinks are built, and every part runs until it is told to stop.

mod alarm;
mod certificates;
mod crew;
mod parts;
mod reload;
mod resolved;
mod secrets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vodrelay_admin::{AdminState, Door, Metrics};
use vodrelay_alerts::Watched;
use vodrelay_core::config::{ConfigError, Surroundings};
use vodrelay_core::dispatcher::Drive;
use vodrelay_core::{
    Bookkeeper, Clock, ImageStore, Intake, Journal, JournalError, Ledger, Live, Name, Readmission, Replayer,
    Sink, SinkBacklog, SinkFactory, SinkName, Standings, SystemClock, Tracer,
};
use vodrelay_http::{CallbackJudge, Receiver};
use vodrelay_journal::{OpenError, RefusedBounds, SqliteJournal};
use vodrelay_mns::QueueSettings;
use vodrelay_traces::{Exporter, Resource};

use self::crew::{Crew, Tools};
use self::parts::{Failures, Parts};
use self::reload::Replaceable;
use self::resolved::Resolved;
use self::secrets::SecretFiles;
use crate::config::{Config, Loaded};
use crate::sockets::{SocketError, Sockets};

pub(crate) use self::alarm::relay_name;
pub use self::reload::{ReloadError, Reloader};

/// How long answers may take to leave when the journal is poisoned; the process is to be gone within a second.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A relay that has everything it needs: listeners bound, journal open, sinks built.
#[derive(Debug)]
pub struct Relay {
    journal: SqliteJournal,
    refusals: Bookkeeper,
    drives: BTreeMap<Name, Drive>,
    queues: Vec<QueueSettings>,
    tools: Tools,
    watched: Watched,
    exporter: Option<Exporter>,
    replaceable: Replaceable,
    reloads: Reloads,
    http_listener: TcpListener,
    admin_listener: TcpListener,
}

/// How the relay is asked to reload.
type Reloads = (Reloader, mpsc::Receiver<reload::Request>);

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

/// Opens what is read from of every configured sink that keeps images.
fn build_image_stores(
    config: &Config,
    surroundings: &Surroundings,
    factories: &[Arc<dyn SinkFactory>],
) -> Result<BTreeMap<SinkName, Arc<dyn ImageStore>>, ConfigError> {
    let mut stores = BTreeMap::new();
    for (name, sink) in &config.sinks {
        let factory = factories.iter().find(|factory| factory.kind() == sink.kind);
        let opened = factory.map(|factory| factory.images(&sink.options(surroundings))).transpose();
        let opened = opened.map_err(|error| error.within(&format!("sinks.{name}.options")))?;
        stores.extend(opened.flatten().map(|store| (name.clone(), store)));
    }
    Ok(stores)
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
        let Loaded { config, data_dir, .. } = loaded;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let factories = factories(own_factories);
        let admin_address = sockets.admin_address();
        let Resolved { drives, http, queues, admin, alerts, routes, traces, images } =
            Resolved::of(loaded, &factories, admin_address)?;
        let http_listener = sockets.http(config.http.listen).await?;
        let admin_listener = sockets.admin(config.admin.listen).await?;

        let bounds = RefusedBounds { keep: config.http.refused.keep, max_age: config.http.refused.max_age };
        let journal = SqliteJournal::open(data_dir, config.journal, bounds, Arc::clone(&clock))?;
        let as_journal: Arc<dyn Journal> = Arc::new(journal.clone());
        let ledger: Arc<dyn Ledger> = Arc::new(journal.clone());
        let routes = Live::new(routes);
        let readmission = Readmission::new(
            Arc::clone(&as_journal),
            routes.current(),
            Arc::clone(&ledger),
            Arc::new(CallbackJudge::new(&http)),
        );
        let (intake, refusals) = Intake::new(Arc::clone(&as_journal), routes.current());
        let (tracer, exporter) = tracing_to(traces, &clock);
        let intake = intake.tracing(tracer);
        let standings = Standings::default();
        warn_of(config, http.warnings.iter().chain(&queues.warnings).chain(&alerts.warnings));
        warn_of_orphans(config, &journal).await;
        let identity = admin.identity.clone();
        let receiver = Receiver::new(http, intake.clone(), Arc::clone(&clock));
        let admin = AdminState {
            replayer: Replayer::new(Arc::clone(&ledger), routes.clone()),
            ledger: Arc::clone(&ledger),
            draining: Arc::default(),
            metrics,
            clock: Arc::clone(&clock),
            tokens: admin.tokens,
            routes: routes.clone(),
            sinks: config.sinks.keys().cloned().collect(),
            sources: config.sources(),
            readmission: Arc::new(readmission),
            standings: standings.clone(),
            images,
            probes: receiver.probes().clone(),
            drain: receiver.drain_switch().clone(),
        };
        let door = Door::from(admin.clone());
        door.show(identity);
        let tools = Tools {
            journal: as_journal,
            ledger: Arc::clone(&ledger),
            clock,
            standings,
            intake: intake.clone(),
        };
        Ok(Self {
            refusals,
            drives,
            queues: queues.queues,
            replaceable: Replaceable {
                loaded: loaded.clone(),
                secrets: SecretFiles::of(loaded),
                factories,
                admin_address,
                ledger,
                routes,
                receiver: receiver.into(),
                door,
                admin,
                plans: watch::Sender::new(alarm::plan(loaded, alerts.channels)),
            },
            watched: alarm::watched(&tools, intake.vitals().clone(), loaded),
            exporter,
            tools,
            reloads: Reloader::new(),
            journal,
            http_listener,
            admin_listener,
        })
    }

    /// Takes another configuration for the relay, once it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloads.0.clone()
    }

    /// The addresses that were bound: the callback receiver's, the admin listener's.
    #[must_use]
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.http_listener.local_addr().ok(), self.admin_listener.local_addr().ok())
    }

    /// The journal, to ask whether it is alive.
    pub(crate) fn journal(&self) -> SqliteJournal {
        self.journal.clone()
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
            drives,
            queues,
            tools,
            watched,
            exporter,
            replaceable,
            reloads,
            http_listener,
            admin_listener,
        } = self;
        let poisoned = journal.poisoned();
        let (stop_receiving, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let (delivering, receiving, failures) = Parts::two_kinds();
        let receiver = replaceable.receiver.clone();

        let mut crew = Crew::new(tools, shutdown.clone(), delivering.clone(), receiving.clone());
        crew.drive(drives).await;
        let (served, stop) = (receiver.clone(), stop_receiving.clone());
        receiving.spawn(async move {
            let served = vodrelay_http::serve(http_listener, served, stop).await;
            served.map_err(|error| JournalError::Failed(format!("the callback receiver stopped: {error}")))
        });
        crew.poll(queues);
        let keeping = tokio::spawn(refusals.run(Arc::new(journal.clone())));
        let draining = Arc::clone(&replaceable.admin.draining);
        let admin =
            tokio::spawn(vodrelay_admin::serve(admin_listener, replaceable.door.clone(), stop_admin.clone()));
        let stop_traces = CancellationToken::new();
        let exporting = exporter.map(|exporter| tokio::spawn(exporter.run(stop_traces.clone())));
        let plans = replaceable.plans.subscribe();
        tokio::spawn(vodrelay_alerts::run(watched, plans, shutdown.clone()));
        // The refusals are complete when the last intake is gone, so it goes with the stop.
        tokio::spawn(replaceable.run(crew, reloads.1, shutdown.clone()));
        let stopping = shutdown.clone();
        tokio::spawn(async move {
            stopping.cancelled().await;
            draining.store(true, Ordering::Relaxed);
            receiver.current().drain();
        });

        let result = tokio::select! {
            // A queue that ends for the same reason must not be what is heard of it.
            biased;
            reason = poisoning(poisoned) => Err(JournalError::Poisoned(reason)),
            result = finish(&shutdown, &delivering, &stop_receiving, &receiving, failures) => result,
        };
        if let Err(JournalError::Poisoned(_)) = result {
            // Whoever waits for an answer gets a 503; nobody is waited for longer than that takes.
            shutdown.cancel();
            stop_receiving.cancel();
            let _ = timeout(LAST_WORDS, receiving.done()).await;
            return result;
        }
        // The last connection takes its intake with it; whatever still hangs then is not worth waiting for.
        let _ = timeout(Duration::from_secs(2), keeping).await;
        stop_admin.cancel();
        let _ = admin.await;
        // Every span has ended by now; the exporter bounds how long its last ones may take.
        stop_traces.cancel();
        if let Some(exporting) = exporting {
            let _ = exporting.await;
        }
        result.and(journal.close().await)
    }
}

/// Records nothing, at no cost, where traces are off.
fn tracing_to(
    traces: Option<vodrelay_traces::Settings>,
    clock: &Arc<dyn Clock>,
) -> (Tracer, Option<Exporter>) {
    let Some(traces) = traces else { return (Tracer::default(), None) };
    let resource = Resource { service_version: env!("CARGO_PKG_VERSION").to_owned(), instance: relay_name() };
    let (tracer, exporter) = traces.start(&resource, Arc::clone(clock));
    (tracer, Some(exporter))
}

/// Waits for the stop and until the dispatchers are done, then stops receiving. The first part that fails ends the wait.
async fn finish(
    shutdown: &CancellationToken,
    delivering: &Parts,
    stop_receiving: &CancellationToken,
    receiving: &Parts,
    mut failures: Failures,
) -> Result<(), JournalError> {
    let done = async {
        shutdown.cancelled().await;
        delivering.done().await;
        stop_receiving.cancel();
        receiving.done().await;
    };
    tokio::select! {
        // What fails last is told before it is done.
        biased;
        Some(error) = failures.recv() => Err(error),
        () = done => failures.try_recv().map_or(Ok(()), Err),
    }
}

async fn poisoning(mut poisoned: watch::Receiver<Option<String>>) -> String {
    let reason = poisoned.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    match reason {
        Some(reason) => reason,
        // The journal was closed in good health.
        None => std::future::pending().await,
    }
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

fn warn_of<'a>(config: &Config, of_sources: impl Iterator<Item = &'a String>) {
    for warning in of_sources {
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
