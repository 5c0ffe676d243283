#![doc = include_str!("../README.md")]

mod address;
mod admission;
mod answer;
mod body;
mod config;
mod connections;
mod door;
mod elsewhere;
mod hints;
mod meter;
mod pace;
mod probe;
mod proof;
mod receive;
mod receiver;
mod refuse;
mod rejudge;
mod repeats;
mod serve;
mod throttle;
mod trace;

pub use config::{CallbackConfig, Config, KeyConfig, RefusedConfig};
pub use receiver::{Callback, Receiver, Settings};
pub use rejudge::CallbackJudge;
pub use serve::serve;
pub use vodrelay_core::network::{Network, Networks};
