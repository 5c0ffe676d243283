//! `image_hosts`: the hosts that images are fetched from, and how. From any other host nothing is ever fetched.

mod auth;
mod pattern;
mod survey;
mod unknown;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;
use vod_event::Image;
use vodrelay_core::config::{ByteSize, ConfigError, Span, Surroundings};
use vodrelay_core::network::Networks;
use vodrelay_core::{SinkError, SinkName};

pub(super) use self::auth::{Auth, Key, Signer};
pub(super) use self::pattern::HostPattern;
use self::unknown::Unknown;
use super::fetch::{Clients, Guard, Health, Visit};
use super::record::State;

/// The longest URL that is asked for, in bytes: HTTP clients and servers take some more, and a signature comes on top.
const LONGEST_URL: usize = 32 << 10;
/// The largest `max_size`: as much as a multipart upload can take.
const LARGEST: u64 = 32 << 30;

/// An entry as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table like { name = \"vod.example.com\" }")]
pub(super) struct Written {
    name: HostPattern,
    scheme: Option<Scheme>,
    auth: Option<auth::Written>,
    #[serde(default)]
    allow_addresses: Networks,
    #[serde(default)]
    redirects: Vec<HostPattern>,
    max_size: Option<ByteSize>,
    connect_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    min_speed: Option<ByteSize>,
}

/// What a URL's scheme is changed to. VOD's own URLs are http, and no signature covers the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    Https,
}

/// All entries, in their order.
#[derive(Debug, Default)]
pub(super) struct ImageHosts {
    entries: Vec<ImageHost>,
    /// The hosts that no entry matched.
    unknown: Unknown,
}

/// One entry, with its keys at hand and clients of its own, so that its connections serve again.
pub(super) struct ImageHost {
    pub(super) name: HostPattern,
    pub(super) auth: Auth,
    pub(super) guard: Guard,
    pub(super) redirects: Vec<HostPattern>,
    pub(super) limits: Limits,
    pub(super) clients: Clients,
    /// Whether they answer at all.
    health: Health,
    is_https: bool,
    connect_timeout: Duration,
    /// What of `allow_addresses` is not empty.
    opened: Networks,
}

/// What a host has to keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of an image, in bytes.
    pub(super) max_size: u64,
    /// The longest wait for the next bytes.
    pub(super) idle: Duration,
    /// Bytes a second, on average over that wait.
    pub(super) min_speed: u64,
}

/// Why nobody but VOD reads such a bucket (*Storage management* in the documentation of ApsaraVideo VOD), and what to do.
pub(super) const OF_VOD: &str = "a bucket whose name begins with outin- belongs to VOD itself, and no key of yours can \
                                 sign for it; configure a CDN domain in VOD, or have VOD store into a bucket of your \
                                 own, so that later events name that host";

/// What is to be done about an image.
#[derive(Debug)]
pub(super) enum Plan<'h> {
    /// Only its URL is kept, for this reason.
    Link(String),
    /// It is fetched from the URL, which is not signed yet.
    Fetch(&'h ImageHost, Url),
}

impl ImageHosts {
    /// Reads the entries and everything they refer to.
    pub(super) fn resolve(written: &[Written], surroundings: &Surroundings) -> Result<Self, ConfigError> {
        let entries = written.iter().enumerate().map(|(place, entry)| {
            entry.resolve(surroundings).map_err(|error| error.within(&format!("image_hosts[{place}]")))
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, unknown: Unknown::default() })
    }

    /// Finds the first entry that the image's URL matches. The URL is read once, here; what is checked, signed and
    /// asked for later is what was read.
    pub(super) fn plan(&self, sink: &SinkName, image: &Image) -> Plan<'_> {
        let Some(text) = &image.url else { return Plan::Link("the event has no URL for it".to_owned()) };
        let url = match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            Ok(_) => return Plan::Link("its URL is neither http nor https".to_owned()),
            Err(error) => return Plan::Link(format!("its URL cannot be read: {error}")),
        };
        if url.as_str().len() > LONGEST_URL {
            return Plan::Link(format!("its URL is longer than {}", ByteSize(LONGEST_URL as u64)));
        }
        if names_a_user(&url) {
            return Plan::Link("its URL has a user name in it".to_owned());
        }
        match self.entries.iter().find(|host| host.name.matches(&url)) {
            Some(host) => Plan::Fetch(host, host.upgraded(url)),
            None => Plan::Link(self.matched_by_none(sink, &url)),
        }
    }

    fn matched_by_none(&self, sink: &SinkName, url: &Url) -> String {
        let host = named(url);
        let but = match self.entries.iter().find(|entry| entry.name.matches_host(url)) {
            Some(entry) => format!("; the entry {} means another port", entry.name),
            None => String::new(),
        };
        let reason = format!("no entry of image_hosts matches {host}{but}");
        self.unknown.say_once(sink, &host, &reason);
        reason
    }
}

impl Plan<'_> {
    /// What the record says at first.
    pub(super) fn first_state(&self) -> State {
        match self {
            Self::Link(reason) => State::Linked { reason: reason.clone() },
            Self::Fetch(..) => State::Pending,
        }
    }
}

impl ImageHost {
    /// Permits to ask for an image.
    ///
    /// # Errors
    /// While the host rests: says when to ask again.
    pub(super) fn visit(&self, image: u64, url: &Url, now: Timestamp) -> Result<Visit<'_>, SinkError> {
        let name = named(url);
        self.health.visit(name.clone(), image, now).map_err(|after| {
            let message =
                format!("{name} failed for several images; it is asked for one at a time until it answers");
            SinkError::postponed(after, message)
        })
    }

    /// The URL with the scheme that the entry wants.
    pub(super) fn upgraded(&self, mut url: Url) -> Url {
        if self.is_https && url.scheme() == "http" {
            // From http to https this cannot fail.
            let _ = url.set_scheme("https");
        }
        url
    }
}

impl fmt::Debug for ImageHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, auth, limits, .. } = self;
        f.debug_struct("ImageHost")
            .field("name", name)
            .field("auth", auth)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

impl Written {
    fn resolve(&self, surroundings: &Surroundings) -> Result<ImageHost, ConfigError> {
        let guard = Guard::new(self.allow_addresses.clone());
        if let Some(refused) = self.name.address().and_then(|address| guard.admit(address).err()) {
            let message =
                format!("{refused}, so nothing would be fetched; open it in allow_addresses if it is meant");
            return Err(ConfigError::new("name", message));
        }
        let (auth, limits) = (self.auth(surroundings)?, self.limits()?);
        let is_https = self.scheme == Some(Scheme::Https);
        let connect_timeout = self.connect_timeout()?;
        let clients = Clients::new(&guard, connect_timeout, is_https)
            .map_err(|error| ConfigError::new("name", format!("no HTTP client could be made: {error}")))?;
        Ok(ImageHost {
            name: self.name.clone(),
            auth,
            guard,
            redirects: self.redirects.clone(),
            limits,
            clients,
            health: Health::default(),
            is_https,
            connect_timeout,
            opened: self.allow_addresses.clone(),
        })
    }

    /// Signs once, so that a key that lacks something for these hosts is found at start.
    fn auth(&self, surroundings: &Surroundings) -> Result<Auth, ConfigError> {
        let Some(written) = &self.auth else { return Ok(Auth::None) };
        let auth = written.resolve(surroundings).map_err(|error| error.within("auth"))?;
        if auth.signer() == Signer::Oss && (self.name.is_of_vod() || auth.is_of_vod()) {
            return Err(ConfigError::new("auth", OF_VOD));
        }
        let signed =
            self.name.sample().map_or(Ok(()), |url| auth.sign(&url, Timestamp::UNIX_EPOCH).map(drop));
        signed
            .map_err(|error| ConfigError::new("auth", format!("cannot sign for {}: {error}", self.name)))?;
        Ok(auth)
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        let ByteSize(max_size) = self.max_size.unwrap_or(ByteSize(256 << 20));
        if !(1..=LARGEST).contains(&max_size) {
            let message = format!("expected 1 byte to {}, not {}", ByteSize(LARGEST), ByteSize(max_size));
            return Err(ConfigError::new("max_size", message));
        }
        let idle = positive("idle_timeout", self.idle_timeout, Duration::from_secs(30))?;
        let ByteSize(min_speed) = self.min_speed.unwrap_or(ByteSize(16 << 10));
        Ok(Limits { max_size, idle, min_speed })
    }

    fn connect_timeout(&self) -> Result<Duration, ConfigError> {
        positive("connect_timeout", self.connect_timeout, Duration::from_secs(5))
    }
}

fn positive(key: &str, given: Option<Span>, default: Duration) -> Result<Duration, ConfigError> {
    match given {
        Some(Span(Duration::ZERO)) => Err(ConfigError::new(key, "expected more than nothing")),
        Some(Span(duration)) => Ok(duration),
        None => Ok(default),
    }
}

/// Whether a user name or a password stands before the host: the client would send them along.
pub(super) fn names_a_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// What messages call the host of a URL: its name, and its port if that is not the usual one.
pub(super) fn named(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
