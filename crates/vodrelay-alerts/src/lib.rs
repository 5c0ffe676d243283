#![doc = include_str!("../README.md")]

mod alarm;
mod alert;
mod channel;
mod config;
mod groups;
mod kind;
mod outbox;
mod robot;
mod sight;
#[cfg(test)]
mod stand_in;
mod watcher;
mod words;

pub use alarm::{Plan, run};
pub use alert::{Alert, State};
pub use channel::{Channel, SendError};
pub use config::{ChannelConfig, Config, Settings};
pub use kind::Kind;
pub use robot::Format;
pub use watcher::{FreeBytes, Watched};
