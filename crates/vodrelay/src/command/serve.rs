//! `vodrelay serve`: runs the relay until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args as ClapArgs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vodrelay_admin::Metrics;
use vodrelay_core::{Clock, JournalError, SinkFactory, SystemClock};
use vodrelay_journal::{OpenError, SqliteJournal};

use crate::cli::ConfigFile;
use crate::config::Loaded;
use crate::exit::{Code, Failure};
use crate::logging;
use crate::relay::{Relay, Reloader, StartError};
use crate::sockets::Sockets;
use crate::supervisor::Supervisor;

/// Arguments of `serve`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay serve\n  \
    vodrelay serve --config /etc/vodrelay/vodrelay.toml --log debug\n\n\
    SIGTERM and SIGINT stop it: what is in hand is finished first. A second one stops it at once.\n\
    SIGHUP has it read the configuration and the secrets in files again, and take them as a whole or not at all.\n\
    Sockets that systemd hands over (FileDescriptorName= http, admin) take the place of http.listen and admin.listen.")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// What to log: error, warn, info, debug, trace, or a filter like info,vodrelay_http=debug
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log: String,
}

pub(crate) async fn run(args: Args, own_factories: Vec<Arc<dyn SinkFactory>>) -> Result<(), Failure> {
    let _log = logging::start(&args.log)?;
    outlive_limits_of_file_size();
    take_all_descriptors();
    // Listened for before anybody finds us, so that a stop is clean from the first moment.
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let hangups = signal(SignalKind::hangup());
    let loaded = args.config.load()?;
    let sockets = Sockets::handed_over().map_err(|error| failure_of_start(&error.into()))?;
    let relay = Relay::start(&loaded, own_factories, metrics()?, sockets)
        .await
        .map_err(|error| failure_of_start(&error))?;
    let (http, admin) = relay.addresses();
    let shown = |address: Option<SocketAddr>| address.map_or_else(String::new, |address| address.to_string());
    tracing::info!(
        http.listen = shown(http), admin.listen = shown(admin),
        data_dir = %loaded.data_dir.display(), queues = loaded.config.mns.queues.len(), sinks = loaded.config.sinks.len(),
        "the relay is ready"
    );
    note_configuration(true);
    let supervisor = Arc::new(Supervisor::of(&loaded.surroundings.environment, std::process::id()));
    let shutdown = CancellationToken::new();
    let living = tokio::spawn(tell_of_life(Arc::clone(&supervisor), relay.journal(), status(&loaded)));
    // The file that was found now is the one that is read again: one that is missing for a moment is neither another nor
    // none.
    let file = ConfigFile { config: loaded.file.clone() };
    let reloading = tokio::spawn(reload_on_signal(hangups, file, relay.reloader(), Arc::clone(&supervisor)));
    let stopping = tokio::spawn(stop_on_signal(signals, supervisor, shutdown.clone()));
    let result = relay.run(shutdown).await;
    reloading.abort();
    stopping.abort();
    living.abort();
    match result {
        Ok(()) => {
            tracing::info!("stopped; everything accepted is in the journal");
            Ok(())
        }
        Err(JournalError::Poisoned(reason)) => Err(poisoned(&reason)),
        Err(error) => Err(Failure::new(Code::Internal, error.to_string())),
    }
}

/// The one recorder of the process.
pub(crate) fn metrics() -> Result<Metrics, Failure> {
    Metrics::install().map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

fn poisoned(reason: &str) -> Failure {
    let message = format!(
        "the journal is poisoned: {reason}\n  nothing more is accepted, and what was accepted is on disk as far as the disk \
         kept its word\n  look at the disk (dmesg), then start again; where that ends in the same way, the file is damaged: \
         `vodrelay journal verify` tells, and `vodrelay journal salvage` copies what reads"
    );
    Failure::new(Code::Poisoned, message)
}

/// A limit on the size of files is then an error of the write that meets it, and not the end of the process.
fn outlive_limits_of_file_size() {
    const SIGXFSZ: i32 = 25;
    // Whoever listens once is never ended by it again.
    drop(signal(SignalKind::from_raw(SIGXFSZ)));
}

/// The usual limit of 1,024 is for programs that cannot deal with more; what may be had is had.
fn take_all_descriptors() {
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if limit.current.is_some_and(|current| current < most) {
        // Where it is not granted, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    }
}

/// SIGTERM and SIGINT.
type Signals = (io::Result<Signal>, io::Result<Signal>);

/// The supervisor hears that the relay is ready once the journal answers, by which time callbacks are being accepted.
async fn tell_of_life(supervisor: Arc<Supervisor>, journal: SqliteJournal, status: String) {
    if journal.pulse().await.is_ok() {
        supervisor.ready(&status);
        supervisor.watch(|| journal.pulse()).await;
    }
}

/// One line for whoever asks the supervisor.
fn status(loaded: &Loaded) -> String {
    let config = &loaded.config;
    format!(
        "accepting events; callbacks: {}, queues: {}, sinks: {}",
        config.http.callbacks.len(),
        config.mns.queues.len(),
        config.sinks.len()
    )
}

async fn reload_on_signal(
    hangups: io::Result<Signal>,
    file: ConfigFile,
    reloader: Reloader,
    supervisor: Arc<Supervisor>,
) {
    let Ok(mut hangups) = hangups else { return };
    let mut standing: Option<String> = None;
    while hangups.recv().await.is_some() {
        supervisor.reloading();
        match reload(file.clone(), &reloader).await {
            Ok((status, changed)) => {
                note_configuration(true);
                tracing::info!(
                    changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") },
                    "the configuration was read again, and is the one in force; so are the secrets in files"
                );
                supervisor.ready(&status);
                standing = Some(status);
            }
            Err(refused) => {
                note_configuration(false);
                tracing::error!("the reload was refused, and all is as it was: {refused}");
                supervisor.ready(&format!(
                    "a reload was refused, see the log; {}",
                    standing.as_deref().unwrap_or("the configuration of the start is in force")
                ));
            }
        }
    }
}

/// Another configuration was taken just now, or refused.
fn note_configuration(is_taken: bool) {
    metrics::gauge!("vodrelay_config_last_reload_successful").set(if is_taken { 1.0 } else { 0.0 });
    if is_taken {
        let now = SystemClock.now().as_duration().as_secs_f64();
        metrics::gauge!("vodrelay_config_reload_timestamp_seconds").set(now);
    }
}

/// The status from then on, and the keys that changed.
async fn reload(file: ConfigFile, reloader: &Reloader) -> Result<(String, Vec<String>), String> {
    let loading = tokio::task::spawn_blocking(move || file.load());
    let loaded = loading.await.map_err(|panic| panic.to_string())?.map_err(|failure| failure.message)?;
    let status = status(&loaded);
    let changed = reloader.reload(loaded).await.map_err(|refused| refused.to_string())?;
    Ok((status, changed))
}

async fn stop_on_signal(signals: Signals, supervisor: Arc<Supervisor>, shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return tracing::warn!("signals cannot be received; only SIGKILL stops the relay");
    };
    let mut either =
        async || tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
    let first = either().await;
    tracing::info!(signal = first, "stopping: what is in hand is finished first");
    supervisor.stopping();
    shutdown.cancel();
    either().await;
    tracing::warn!("stopped at once by a second signal");
    std::process::exit(i32::from(Code::Internal as u8));
}

pub(crate) fn failure_of_start(error: &StartError) -> Failure {
    let code = match error {
        StartError::Config(_) | StartError::Socket(_) => Code::Configuration,
        StartError::Listen { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Code::Permission
        }
        StartError::Listen { .. } => Code::Unreachable,
        StartError::Journal(error) => code_of_journal(error),
    };
    let advice = match error {
        StartError::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
            "\n  another process has that port: stop it, or set another address"
        }
        _ => "",
    };
    Failure::new(code, format!("{error}{advice}"))
}

pub(crate) fn code_of_journal(error: &OpenError) -> Code {
    match error {
        OpenError::HeldBy { .. } => Code::JournalHeld,
        OpenError::NotWritable { .. } => Code::Permission,
        OpenError::NewerSchema { .. } | OpenError::NotAJournal { .. } => Code::Configuration,
        OpenError::Corrupt { .. } | OpenError::DiskFails { .. } => Code::Poisoned,
        _ => Code::CannotCreate,
    }
}
