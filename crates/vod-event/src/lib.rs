#![doc = include_str!("../README.md")]

mod event;
mod id;
pub mod json;
mod proof;
pub mod queue;
mod read;
mod url_auth;

pub use event::{Decimal, Doubt, EVENT_SCHEMA, Event, EventError, EventTime, Identified, Image, Status};
pub use id::{EventId, NotAnEventId};
pub use proof::{CallbackProof, Endpoint, NamedKey, NearMiss, PrivateKey, ProofError};
pub use read::{Reading, Unreadable, UnreadableKind, read};
pub use url_auth::{CdnAuth, CdnAuthType, OssAuth, UrlAuthError};
