//! What the receiver is made of: the settings, the door into the relay, and what it remembers between requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vod_event::Endpoint;
use vodrelay_core::network::Networks;
use vodrelay_core::{Clock, Drain, Intake, Labels, Name, Probes, SourceName};
use vodrelay_tls::Identity;

use crate::admission::Admission;
use crate::hints::Hints;
use crate::meter::{Meter, Meters};
use crate::repeats::Repeats;
use crate::throttle::Throttle;

/// The `[http]` table, checked, with its keys fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest body that is accepted, in bytes.
    pub body_limit: usize,
    /// Answers GET and HEAD.
    pub health_path: String,
    /// The room for what is refused, in bytes, which the addresses that fail share.
    pub refused_room: u64,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// What the listener shows of itself; without it, it speaks plain HTTP.
    pub identity: Option<Identity>,
    /// What is received, and where.
    pub callbacks: Vec<Callback>,
    /// What is allowed and worth a loud word all the same.
    pub warnings: Vec<String>,
}

/// One callback URL that is configured at VOD.
#[derive(Clone, Debug)]
pub struct Callback {
    /// Its name in the configuration.
    pub name: Name,
    /// The source that its events come from.
    pub source: SourceName,
    /// The path under which it arrives here.
    pub path: String,
    /// The URL that VOD signs, and the keys it may sign with.
    pub endpoint: Endpoint,
    /// How far a proof's timestamp may be from the moment of receipt.
    pub max_skew: Duration,
    /// Whether requests without a proof are admitted.
    pub allow_unsigned: bool,
    /// The labels of its events.
    pub labels: Arc<Labels>,
}

/// Receives callbacks; [`serve`](crate::serve) brings it the connections.
#[derive(Debug)]
pub struct Receiver {
    pub(crate) settings: Settings,
    pub(crate) by_path: HashMap<String, usize>,
    pub(crate) intake: Intake,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) admission: Arc<Admission>,
    /// Requests that are refused and read for keeping; apart from the others, so that forgeries never hold the room
    /// of events.
    pub(crate) refused: Arc<Admission>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) repeats: Arc<Repeats>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) meters: Meters,
    pub(crate) probes: Probes,
    drain: Drain,
    draining: Arc<AtomicBool>,
    crowded: Arc<AtomicBool>,
}

/// Bodies up to this size take no room but that of their place; hardly any event is larger.
const SMALL: usize = 32 << 10;

impl Receiver {
    /// A receiver that hands events to the intake. The recorder of metrics, if any, is to be installed before.
    #[must_use]
    pub fn new(settings: Settings, intake: Intake, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            throttle: Arc::new(Throttle::new(settings.refused_room)),
            by_path: by_path(&settings),
            meters: Meters::of(&settings),
            settings,
            intake,
            clock,
            // Appends share a sync, so that many in hand cost hardly more than few; a thousand fill a group commit.
            // The small ones come to 32 MiB at most, and the large ones to as much.
            admission: Arc::new(Admission::new(1024, SMALL, 32 << 20)),
            refused: Arc::new(Admission::new(256, SMALL, 8 << 20)),
            hints: Arc::default(),
            repeats: Arc::new(Repeats::new()),
            meter: Arc::new(Meter::new()),
            probes: Probes::default(),
            drain: Drain::default(),
            draining: Arc::default(),
            crowded: Arc::default(),
        })
    }

    /// A receiver by other settings, and the intake that goes with them, which remembers what this one does and shares its
    /// bounds. What this one has in hand it answers by its own.
    #[must_use]
    pub fn with_settings(&self, settings: Settings, intake: Intake) -> Self {
        Self {
            by_path: by_path(&settings),
            meters: Meters::of(&settings),
            settings,
            intake,
            clock: Arc::clone(&self.clock),
            admission: Arc::clone(&self.admission),
            refused: Arc::clone(&self.refused),
            throttle: Arc::clone(&self.throttle),
            hints: Arc::clone(&self.hints),
            repeats: Arc::clone(&self.repeats),
            meter: Arc::clone(&self.meter),
            probes: self.probes.clone(),
            drain: self.drain.clone(),
            draining: Arc::clone(&self.draining),
            crowded: Arc::clone(&self.crowded),
        }
    }

    /// Whether somebody has the relay drained.
    #[must_use]
    pub fn drain_switch(&self) -> &Drain {
        &self.drain
    }

    /// The probes that are not taken for callbacks.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// What the listener shows of itself.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.settings.identity.as_ref()
    }

    /// The same, with another certificate for connections that come from then on.
    #[must_use]
    pub fn with_identity(&self, identity: Identity) -> Self {
        let settings = Settings { identity: Some(identity), ..self.settings.clone() };
        self.with_settings(settings, self.intake.clone())
    }

    /// Whether the receiver is on its way out: it answers what is in hand, and its health path says 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.drain.is_on()
    }

    /// Tells load balancers to look elsewhere. Requests that come all the same are received as before.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether connections wait outside while all that are inside are at work.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    pub(crate) fn crowd(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// The callback that listens on the path.
    pub(crate) fn callback(&self, path: &str) -> Option<&Callback> {
        self.by_path.get(path).and_then(|index| self.settings.callbacks.get(*index))
    }
}

fn by_path(settings: &Settings) -> HashMap<String, usize> {
    let paths = settings.callbacks.iter().enumerate();
    paths.map(|(index, callback)| (callback.path.clone(), index)).collect()
}
