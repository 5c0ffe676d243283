#![doc = include_str!("../README.md")]

mod age;
mod append;
mod backup;
mod checkpoint;
mod claim;
mod config;
mod copy;
mod counters;
mod dues;
mod error;
#[cfg(test)]
mod faults;
mod files;
mod folder;
mod heart;
mod ids;
mod in_hand;
mod indexes;
mod journal;
mod key;
mod lease;
mod lock;
mod log;
mod op;
mod open;
mod order;
mod reader;
mod refused;
mod replay;
mod retention;
mod salvage;
mod schema;
mod settle;
mod shared;
mod sinks;
mod space;
mod storage;
mod troubles;
mod verify;
mod words;
mod writer;

pub use backup::{BackedUp, backup};
pub use config::{Config, Keep, Kind, RefusedBounds};
pub use copy::CopyError;
pub use error::OpenError;
pub use folder::make_folder;
pub use journal::SqliteJournal;
pub use open::FILE;
pub use reader::{
    AttemptRecord, DeliveryRecord, DeliveryState, EventDetail, EventFilter, EventRecord, EventState, Reader,
};
pub use salvage::{Loss, LossKind, Salvaged, salvage};
pub use space::free_bytes;
pub use verify::{Finding, FindingKind, Listener, Progress, Verified, verify};
