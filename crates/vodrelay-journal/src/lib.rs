#![doc = include_str!("../README.md")]

mod append;
mod checkpoint;
mod claim;
mod config;
mod counters;
mod error;
mod files;
mod ids;
mod in_hand;
mod journal;
mod key;
mod lease;
mod lock;
mod op;
mod open;
mod order;
mod reader;
mod refused;
mod replay;
mod retention;
mod schema;
mod settle;
mod shared;
mod sinks;
mod space;
mod words;
mod writer;

pub use config::{Config, Keep, Kind, RefusedBounds};
pub use error::OpenError;
pub use journal::SqliteJournal;
pub use open::FILE;
pub use reader::{
    AttemptRecord, DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord, EventState, Reader,
};
pub use space::free_bytes;
