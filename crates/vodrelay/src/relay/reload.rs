//! Another configuration for a relay that runs: checked whole, then put in the place of the one before, or refused.
//!
//! Nothing in flight is lost by it. What is in hand ends by the configuration that it began under; deliveries stand in the
//! journal, whoever drives their sink.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use vodrelay_admin::{AdminState, Door};
use vodrelay_alerts::Plan;
use vodrelay_core::config::ConfigError;
use vodrelay_core::ledger::Deed;
use vodrelay_core::standing::BreakerState;
use vodrelay_core::{Ledger, Live, Routes, SinkBacklog, SinkFactory, SinkName};
use vodrelay_http::{CallbackJudge, Receiver};

use super::alarm::plan;
use super::certificates::{Certificates, LOOK};
use super::crew::Crew;
use super::resolved::Resolved;
use super::secrets::SecretFiles;
use super::warn_of;
use crate::config::{Config, Loaded};

/// What is fixed for as long as the relay runs: its listeners, its journal, and where its spans go.
const FIXED: [&str; 5] = ["http.listen", "http.refused", "admin.listen", "journal", "traces"];
/// How long the files of a configuration may take to be read.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// A sink that is taken out may have this much to do before it goes; longer, and nobody knows when it will be done.
const KEEPS_UP: Duration = Duration::from_secs(10);

/// Why another configuration was refused. The relay runs on as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error("the configuration is wrong\n  {0}")]
    Config(#[from] ConfigError),
    /// It changes what only a restart can.
    #[error("only a restart changes these:{}", Lines(.0))]
    Fixed(Vec<String>),
    /// It takes sinks out that deliveries wait for.
    #[error(
        "deliveries would be orphaned, since their sinks are no longer configured:{}\n  \
         keep the sinks until that is delivered, or take them out by a restart, after which \
         `vodrelay sinks rename` and `vodrelay sinks forget` see to what waits", Lines(.0)
    )]
    Orphans(Vec<String>),
    /// It cannot be told what waits.
    #[error("the journal does not tell what waits for the sinks that are taken out: {0}")]
    Journal(vodrelay_core::JournalError),
    /// The relay stops.
    #[error("the relay is stopping")]
    Stopping,
}

struct Lines<'a>(&'a [String]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Asks a relay to take another configuration. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<Request>);

/// A configuration, and whom to answer the keys that it changed.
pub(super) type Request = (Loaded, oneshot::Sender<Result<Vec<String>, ReloadError>>);

impl Reloader {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (asking, asked) = mpsc::channel(1);
        (Self(asking), asked)
    }

    /// Puts that configuration in the place of the one before, as a whole, and answers the keys that differ, those
    /// included whose file has another secret; secrets are fetched anew, whether anything differs or not.
    ///
    /// # Errors
    /// If it is refused; nothing is changed then.
    pub async fn reload(&self, loaded: Loaded) -> Result<Vec<String>, ReloadError> {
        let (answer, answered) = oneshot::channel();
        self.0.send((loaded, answer)).await.map_err(|_| ReloadError::Stopping)?;
        answered.await.map_err(|_| ReloadError::Stopping)?
    }
}

/// Everything that a reload replaces.
#[derive(Debug)]
pub(super) struct Replaceable {
    pub(super) loaded: Loaded,
    pub(super) secrets: SecretFiles,
    pub(super) factories: Vec<Arc<dyn SinkFactory>>,
    pub(super) admin_address: Option<SocketAddr>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) routes: Live<Routes>,
    pub(super) receiver: Live<Receiver>,
    pub(super) admin: AdminState,
    pub(super) door: Door,
    pub(super) plans: watch::Sender<Plan>,
}

impl Replaceable {
    /// Takes one configuration after the other, until the relay stops.
    pub(super) async fn run(
        mut self,
        mut crew: Crew,
        mut asked: mpsc::Receiver<Request>,
        shutdown: CancellationToken,
    ) {
        let (mut certificates, mut look) = (Certificates::default(), interval(LOOK));
        let mut drained = self.admin.drain.watch();
        loop {
            let (loaded, answer) = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(request) = asked.recv() => request,
                Ok(()) = drained.changed() => {
                    self.poll_or_not(&mut crew);
                    continue;
                }
                _ = look.tick() => {
                    certificates.look(&self.loaded);
                    continue;
                }
                found = certificates.found() => {
                    certificates.renew(found, &self.receiver, &self.door);
                    continue;
                }
            };
            certificates.forget();
            let replaced = self.replace(loaded, &mut crew).await;
            let deed = self.deed(&replaced);
            // Whoever has gone finds it in the log.
            let _ = answer.send(replaced);
            if let Err(error) = self.ledger.note_deed(deed).await {
                tracing::error!(%error, "a reload could not be noted in the audit log");
            }
        }
    }

    /// A reload stands in the audit log like what is asked of the admin API; a signal does not tell who sent it.
    fn deed(&self, replaced: &Result<Vec<String>, ReloadError>) -> Deed {
        let (status, result) = match replaced {
            Ok(changed) => (200, json!({"changed": changed})),
            Err(error) => (409, json!({"error": error.to_string()})),
        };
        let (at, result) = (self.admin.clock.now(), to_raw_value(&result).ok());
        Deed { at, token: None, address: None, action: "reload".to_owned(), request: None, status, result }
    }

    /// Has no queue polled while the relay is drained, and each of them otherwise.
    fn poll_or_not(&self, crew: &mut Crew) {
        if self.admin.drain.is_on() {
            return crew.poll(Vec::new());
        }
        match self.loaded.config.mns.resolve(&self.loaded.surroundings) {
            Ok(settings) => crew.poll(settings.queues),
            Err(error) => tracing::error!(
                %error, "the queues could not be polled again after the relay was drained; mend that, and reload"
            ),
        }
    }

    /// Checks all of it, and only then begins.
    async fn replace(&mut self, loaded: Loaded, crew: &mut Crew) -> Result<Vec<String>, ReloadError> {
        let (resolved, secrets) = self.resolve(&loaded).await?;
        check_fixed(&self.loaded, &loaded)?;
        self.check_orphans(&loaded.config).await?;

        let Resolved { drives, http, queues, admin, alerts, routes, traces: _, images } = resolved;
        let warnings = http.warnings.iter().chain(&queues.warnings).chain(&alerts.warnings);
        warn_of(&loaded.config, warnings);
        let config = &loaded.config;
        // Whoever is routed to a sink finds it driven.
        crew.drive(drives).await;
        let before = Arc::downgrade(&self.routes.replace(routes));
        crew.let_go_all_but(&|name| config.sinks.contains_key(name), before);
        // Each source goes with the routes of its own configuration, so nobody ever sees the one without the other.
        let intake = crew.reroute(self.routes.current());
        self.admin.readmission.change(self.routes.current(), Arc::new(CallbackJudge::new(&http)));
        self.receiver.replace(self.receiver.current().with_settings(http, intake));
        crew.poll(if self.admin.drain.is_on() { Vec::new() } else { queues.queues });
        self.door.show(admin.identity);
        self.admin.tokens = admin.tokens;
        self.admin.images = images;
        self.admin.sinks = config.sinks.keys().cloned().collect();
        self.admin.sources = config.sources();
        self.door.change(self.admin.clone());
        self.plans.send_replace(plan(&loaded, alerts.channels));
        let mut changed = changed(&self.loaded, &loaded);
        changed.extend(self.secrets.differing(&secrets).map(|key| format!("{key} (what its file holds)")));
        (self.loaded, self.secrets) = (loaded, secrets);
        Ok(changed)
    }

    /// Files of secrets and certificates are read, which may take a while.
    async fn resolve(&self, loaded: &Loaded) -> Result<(Resolved, SecretFiles), ReloadError> {
        let (loaded, factories) = (loaded.clone(), self.factories.clone());
        let admin_address = self.admin_address;
        let resolving = move || {
            let resolved = Resolved::of(&loaded, &factories, admin_address)?;
            Ok::<_, ConfigError>((resolved, SecretFiles::of(&loaded)))
        };
        let resolved = timeout(READ_WITHIN, tokio::task::spawn_blocking(resolving)).await;
        let silent = |_| {
            let message =
                "does not answer; see to the disks of the certificates and secrets, then reload again";
            ConfigError::new("a file", message)
        };
        Ok(resolved
            .map_err(silent)?
            .map_err(|panic| ConfigError::new("a sink", format!("could not be built: {panic}")))??)
    }

    async fn check_orphans(&self, config: &Config) -> Result<(), ReloadError> {
        let removed =
            |name: &SinkName| self.loaded.config.sinks.contains_key(name) && !config.sinks.contains_key(name);
        if !self.loaded.config.sinks.keys().any(removed) {
            return Ok(());
        }
        let backlogs = self.ledger.backlogs().await.map_err(ReloadError::Journal)?;
        let waiting = backlogs.iter().filter(|backlog| removed(&backlog.sink) && self.lags(backlog));
        let told: Vec<String> =
            waiting.map(|backlog| format!("sinks.{}: {} wait", backlog.sink, backlog.pending)).collect();
        if told.is_empty() { Ok(()) } else { Err(ReloadError::Orphans(told)) }
    }

    /// Whether it has more to do than what it is just doing.
    fn lags(&self, backlog: &SinkBacklog) -> bool {
        let age = backlog.oldest_pending_at.map(|at| self.admin.clock.now().duration_since(at));
        let is_old =
            age.is_some_and(|age| age > jiff::SignedDuration::try_from(KEEPS_UP).unwrap_or_default());
        let is_open = matches!(self.admin.standings.breaker(&backlog.sink), Some(BreakerState::Open { .. }));
        backlog.pending > 0 && (is_old || is_open || backlog.paused.is_some())
    }
}

fn check_fixed(before: &Loaded, after: &Loaded) -> Result<(), ReloadError> {
    let (before, after) = (keys(before), keys(after));
    let is_fixed = |key: &&String| {
        *key == "data_dir"
            || FIXED.iter().any(|fixed| {
                key.strip_prefix(fixed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    };
    let shown = |values: &BTreeMap<String, Value>, key: &str| {
        values.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string)
    };
    let differences = differing(&before, &after).into_iter().filter(is_fixed);
    let told: Vec<String> = differences
        .map(|key| format!("{key}: {} runs, {} is wanted", shown(&before, key), shown(&after, key)))
        .collect();
    if told.is_empty() { Ok(()) } else { Err(ReloadError::Fixed(told)) }
}

/// Their paths alone: their values may be secrets.
fn changed(before: &Loaded, after: &Loaded) -> Vec<String> {
    differing(&keys(before), &keys(after)).into_iter().cloned().collect()
}

fn differing<'a>(before: &'a BTreeMap<String, Value>, after: &'a BTreeMap<String, Value>) -> Vec<&'a String> {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| before.get(*key) != after.get(*key));
    keys
}

/// Each key that has a value, by its path.
fn keys(loaded: &Loaded) -> BTreeMap<String, Value> {
    let mut keys =
        BTreeMap::from([("data_dir".to_owned(), Value::from(loaded.data_dir.display().to_string()))]);
    let mut config = serde_json::to_value(&loaded.config).unwrap_or_default();
    if let Value::Object(members) = &mut config {
        members.remove("data_dir");
    }
    flatten("", config, &mut keys);
    keys
}

fn flatten(at: &str, value: Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, value) in members {
                let at = if at.is_empty() { name } else { format!("{at}.{name}") };
                flatten(&at, value, keys);
            }
        }
        value => drop(keys.insert(at.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const BEFORE: &str = r#"
        data_dir = "data"
        [http]
        listen = "127.0.0.1:8080"
        body_limit = "1MiB"
        [journal]
        retention = "30d"
        [sinks.hook]
        kind = "webhook"
        [sinks.hook.options]
        url = "http://127.0.0.1:9/hook"
    "#;

    fn loaded(text: &str) -> Loaded {
        crate::config::from_text(text, Some(PathBuf::from("vodrelay.toml")), Default::default()).unwrap()
    }

    #[test]
    fn what_only_a_restart_changes_is_named_key_by_key_and_all_else_may_change() {
        let check = |from: &str, to: &str, fixed: &[&str], expect: &[&str]| {
            let (before, after) = (loaded(BEFORE), loaded(&BEFORE.replace(from, to)));
            let said = check_fixed(&before, &after).err().map(|error| error.to_string()).unwrap_or_default();
            let told: Vec<&str> = said.lines().skip(1).map(str::trim).collect();
            assert_eq!(told, fixed, "{from} -> {to}");
            assert_eq!(changed(&before, &after), expect, "{from} -> {to}");
        };
        check("8080", "8080", &[], &[]);
        check("1MiB", "2MiB", &[], &["http.body_limit"]);
        check("/hook", "/other", &[], &["sinks.hook.options.url"]);
        let listen = r#"http.listen: "127.0.0.1:8080" runs, "127.0.0.1:9090" is wanted"#;
        check("8080", "9090", &[listen], &["http.listen"]);
        let data = r#"data_dir: "data" runs, "other" is wanted"#;
        check("\"data\"", "\"other\"", &[data], &["data_dir"]);
        let retention = r#"journal.retention: "30d" runs, "7d" is wanted"#;
        check("30d", "7d", &[retention], &["journal.retention"]);
        check(
            "[sinks.hook]",
            "[http.refused]\nkeep = \"1MiB\"\n[sinks.hook]",
            &[r#"http.refused.keep: "256MiB" runs, "1MiB" is wanted"#],
            &["http.refused.keep"],
        );
    }
}
