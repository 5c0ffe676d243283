//! Keeps credentials fresh for many callers: fetched once, renewed before they expire, by one caller at a time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::credentials::Credentials;
use crate::error::{CredentialError, ErrorKind};
use crate::source::{CredentialSource, Static};

/// How long before their end credentials are renewed; those that live shorter, in the last fifth of their life.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// The shortest time between two looks at a source, so that neither many callers nor a failure hammer it.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// Hands out credentials that are valid. Clones share what was fetched.
#[derive(Clone)]
pub struct CredentialProvider(Arc<Shared>);

struct Shared {
    source: Arc<dyn CredentialSource>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    cache: Mutex<Cache>,
    /// Held by the caller who asks the source.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    current: Option<Arc<Credentials>>,
    /// When the current ones are to be renewed; never where they do not expire.
    renew_at: Option<Timestamp>,
    /// A service would not take the current ones.
    refused: bool,
    /// When the source was last asked.
    asked_at: Option<Timestamp>,
    /// Why that came to nothing, if it did.
    failure: Option<CredentialError>,
}

/// What is to be done for a caller.
enum Standing {
    /// These are good.
    Good(Arc<Credentials>),
    /// These are good for now; it is time to look for newer ones.
    Look(Arc<Credentials>),
    /// There are none that are valid.
    None,
    /// There are none that are valid, and the source said so a moment ago.
    Failed(CredentialError),
}

impl CredentialProvider {
    /// Keeps what this source gives.
    #[must_use]
    pub fn new(source: Arc<dyn CredentialSource>) -> Self {
        Self::with_now(source, Timestamp::now)
    }

    /// The same, with a clock of the caller's.
    #[must_use]
    pub fn with_now(
        source: Arc<dyn CredentialSource>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let (cache, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Shared { source, now: Box::new(now), cache, turn }))
    }

    /// Always these.
    #[must_use]
    pub fn fixed(credentials: Credentials) -> Self {
        Self::new(Arc::new(Static::new(credentials)))
    }

    /// Credentials that are valid now. Shortly before they expire newer ones are fetched; where that fails, the old
    /// ones are returned as long as they are valid, and it is tried again after a pause of ten seconds. Whoever is
    /// dropped while waiting loses nothing but the turn.
    ///
    /// # Errors
    /// If there are none, or none that are still valid.
    pub async fn credentials(&self) -> Result<Arc<Credentials>, CredentialError> {
        match self.standing() {
            Standing::Good(current) => return Ok(current),
            Standing::Failed(error) => return Err(error),
            Standing::Look(current) => {
                return match self.0.turn.try_lock() {
                    Ok(_turn) => self.look_for_newer(current).await,
                    Err(_) => Ok(current),
                };
            }
            Standing::None => {}
        }
        let _turn = self.0.turn.lock().await;
        // Whoever had the turn before may have fetched them.
        match self.standing() {
            Standing::Good(current) | Standing::Look(current) => Ok(current),
            Standing::Failed(error) => Err(error),
            Standing::None => self.fetch().await,
        }
    }

    /// Says that a service refused these credentials: newer ones are fetched at the next opportunity, at most every
    /// ten seconds. Nothing happens where others have taken their place already.
    pub fn invalidate(&self, refused: &Credentials) {
        let mut cache = self.cache();
        cache.refused |= cache.current.as_deref() == Some(refused);
    }

    fn standing(&self) -> Standing {
        self.cache().standing((self.0.now)())
    }

    async fn look_for_newer(&self, current: Arc<Credentials>) -> Result<Arc<Credentials>, CredentialError> {
        let now = (self.0.now)();
        // Counted before the answer is there, so that callers who give up half-way do not hammer the source together.
        let is_due = self.cache().begin(now);
        if !is_due && !self.0.source.has_changed().await {
            return Ok(current);
        }
        let error = match self.fetch().await {
            Ok(newer) => return Ok(newer),
            Err(error) => error,
        };
        if !current.is_valid_at((self.0.now)()) {
            return Err(error);
        }
        tracing::warn!(
            credentials.source = ?self.0.source, error = %error,
            "credentials could not be renewed; the old ones are used until they expire",
        );
        Ok(current)
    }

    async fn fetch(&self) -> Result<Arc<Credentials>, CredentialError> {
        let fetched = self.0.source.fetch().await;
        let now = (self.0.now)();
        self.cache().keep(fetched, now)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CredentialProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialProvider").field(&self.0.source).finish()
    }
}

impl Cache {
    fn standing(&self, now: Timestamp) -> Standing {
        let valid = self.current.as_ref().filter(|current| current.is_valid_at(now)).map(Arc::clone);
        // In either direction, since the clock of the machine may be set back.
        let rests = self.asked_at.is_some_and(|asked_at| now.duration_since(asked_at).abs() < PAUSE);
        match (valid, rests, &self.failure) {
            (Some(current), true, _) => Standing::Good(current),
            (Some(current), false, _) => Standing::Look(current),
            (None, true, Some(failure)) => Standing::Failed(failure.clone()),
            (None, ..) => Standing::None,
        }
    }

    /// Notes that the source is asked. Says whether it must be, or only if something has changed there.
    fn begin(&mut self, now: Timestamp) -> bool {
        self.asked_at = Some(now);
        self.refused || self.renew_at.is_some_and(|at| at <= now)
    }

    /// Keeps what the source gave.
    fn keep(
        &mut self,
        fetched: Result<Credentials, CredentialError>,
        now: Timestamp,
    ) -> Result<Arc<Credentials>, CredentialError> {
        self.asked_at = Some(now);
        let fetched = fetched.and_then(|fetched| refuse_expired(fetched, now)).inspect_err(|error| {
            self.failure = Some(error.clone());
        })?;
        self.failure = None;
        self.refused = false;
        match &self.current {
            // Not renewed yet, so it stays due, and is looked for after every pause.
            Some(current) if **current == fetched => Ok(Arc::clone(current)),
            _ => {
                self.renew_at = fetched.expires_at.map(|end| {
                    let life = end.duration_since(now);
                    end - MARGIN.min(life / 5)
                });
                Ok(Arc::clone(self.current.insert(Arc::new(fetched))))
            }
        }
    }
}

fn refuse_expired(fetched: Credentials, now: Timestamp) -> Result<Credentials, CredentialError> {
    match fetched.expires_at {
        Some(end) if end <= now => {
            let message = format!(
                "the credentials with the access key id {} expired at {end}; see that whatever renews them runs, and \
                 that the clock of this machine is right",
                fetched.access_key_id
            );
            Err(CredentialError::new(ErrorKind::Expired, message))
        }
        _ => Ok(fetched),
    }
}
