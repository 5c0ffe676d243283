//! How an emulator is set up.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::clock::Clock;
use crate::fault::Injection;
use crate::happening::Observer;
use crate::xml::Layout;

/// How an emulator is set up. The default suits a test: any free port, no signature asked for, the answers of today's
/// service, the machine's clock, no faults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Who may come in, by a signature of version 1. With none, requests are let in as they are.
    pub access_keys: Vec<AccessKey>,
    /// How far the date of a signed request may be off; beyond it the answer is `TimeExpired`. None asks for no date
    /// in particular.
    pub max_skew: Option<Duration>,
    /// Which generation of the service answers.
    pub format: Format,
    /// XML on one line, instead of indented by two spaces.
    pub compact: bool,
    /// Bodies are sent in chunks, without a content length.
    pub chunked: bool,
    /// Query parameters must be spelled as the documents spell them, and a Content-MD5 and a Content-Type must be
    /// right. The service is more lenient than that, and so is the default.
    pub strict: bool,
    /// Long polls that find nothing are answered after four fifths of their wait, as the service has been seen to do.
    pub answers_early: bool,
    /// How many long polls may wait at once. Further ones are answered empty at once, as the service does to an
    /// account with too many.
    pub poll_limit: usize,
    /// For how long a deleted queue's name cannot be taken again.
    pub name_rest: Duration,
    /// For how long [`Fault::Slow`](crate::Fault::Slow) holds an answer back.
    pub slow_by: Duration,
    /// The emulator's time.
    pub clock: Clock,
    /// Makes ids, and the dice of the faults, repeatable.
    pub seed: u64,
    /// What goes wrong, from the beginning.
    pub faults: Vec<Injection>,
    /// Who is told what happens to messages.
    pub observer: Option<Observer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access_keys: Vec::new(),
            max_skew: Some(Duration::from_secs(15 * 60)),
            format: Format::Current,
            compact: false,
            chunked: false,
            strict: false,
            answers_early: false,
            poll_limit: usize::MAX,
            name_rest: Duration::ZERO,
            slow_by: Duration::from_secs(1),
            clock: Clock::running(),
            seed: 0,
            faults: Vec::new(),
            observer: None,
        }
    }
}

impl Settings {
    pub(crate) fn layout(&self) -> Layout {
        let compact = self.compact;
        match self.format {
            Format::Current => Layout {
                prolog: "<?xml version=\"1.0\" ?>",
                namespace: "http://mns.aliyuncs.com/doc/v1",
                compact,
            },
            Format::Old => Layout {
                prolog: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
                namespace: "http://mns.aliyuncs.com/doc/v1/",
                compact,
            },
        }
    }
}

/// Someone who may come in.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The id, which requests name.
    pub id: String,
    /// The secret, with which they are signed.
    pub secret: String,
    /// The STS token that must come along, for temporary keys.
    pub security_token: Option<String>,
}

impl AccessKey {
    /// A key without a token.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), security_token: None }
    }
}

impl fmt::Debug for AccessKey {
    /// The id only: people point the same key variables at emulators and at accounts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The two generations of the service, which differ in ids, handles, order of elements and headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What the service has answered since it was rebuilt, as recorded in 2026.
    #[default]
    Current,
    /// What the vendor's documents show.
    Old,
}
