#![doc = include_str!("../README.md")]

mod config;
mod delete;
mod examine;
mod lease;
mod meter;
mod pace;
mod poll;
mod source;
mod stall;
mod standing;

pub use config::{Config, QueueConfig, QueueSettings, Settings};
pub use examine::{ask_for_rights, doubts, mend};
pub use source::QueueSource;
