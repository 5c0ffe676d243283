#![doc = include_str!("../README.md")]

pub mod breaker;
pub mod burst;
pub mod clock;
pub mod config;
pub mod dispatcher;
pub mod drain;
pub mod envelope;
pub mod event_types;
pub mod feed;
pub mod forget;
pub mod gaps;
pub mod history;
pub mod images;
pub mod intake;
pub mod journal;
pub mod judge;
pub mod ledger;
pub mod live;
pub mod metric;
pub mod moment;
pub mod name;
mod nearest;
pub mod network;
mod parse;
pub mod probe;
pub mod readmission;
pub mod refusal;
pub mod replay;
pub mod retry;
pub mod routing;
pub mod sink;
pub mod source;
pub mod standing;
mod standstill;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod trace;
pub mod vitals;

pub use clock::{Clock, SystemClock};
pub use dispatcher::Dispatcher;
pub use drain::Drain;
pub use envelope::{Arrival, Delivery, Envelope, Labels, MOST_LABEL_BYTES};
pub use forget::{Forgotten, Video, forget};
pub use history::{History, Life, LifeEnd, Trouble, TroubleKind};
pub use images::{ArchivedImage, ImageError, ImageStore};
pub use intake::{Accepted, Bookkeeper, Intake};
pub use journal::{
    Appended, Attempt, Claim, Claimed, Journal, JournalError, Outcome, Pause, Pauses, Seq, SettleResult,
    Settled, Token,
};
pub use judge::Judge;
pub use ledger::{Ledger, SinkBacklog, Totals};
pub use live::Live;
pub use name::{Name, NameError, SinkName, SourceName};
pub use nearest::nearest;
pub use probe::Probes;
pub use readmission::Readmission;
pub use refusal::{Refusal, RefusalCause, RefusalFilter, RefusalRecord};
pub use replay::Replayer;
pub use routing::Routes;
pub use sink::{Receipt, Sink, SinkError, SinkFactory};
pub use source::{Source, SourceError};
pub use standing::Standings;
pub use trace::{Span, SpanKind, TraceContext, Tracer};
pub use vitals::Vitals;
