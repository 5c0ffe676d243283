#![doc = include_str!("../README.md")]

mod append;
mod checkpoint;
mod claim;
mod config;
mod counters;
mod error;
mod files;
mod heart;
mod ids;
mod in_hand;
mod journal;
mod key;
mod lease;
mod lock;
mod op;
mod open;
mod reader;
mod refused;
mod retention;
mod schema;
mod settle;
mod shared;
mod space;
mod troubles;
mod words;
mod writer;

pub use config::{Config, Keep, Kind, RefusedBounds};
pub use error::OpenError;
pub use journal::SqliteJournal;
pub use open::FILE;
pub use reader::{
    AttemptRecord, DeadLetter, DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord,
    EventState, Reader,
};
pub use space::free_bytes;
