#![doc = include_str!("../README.md")]

mod answer;
mod attributes;
mod clock;
mod connection;
mod control;
mod emulator;
mod fault;
mod handle;
mod happening;
mod ledger;
mod mint;
mod operation;
mod queue;
mod refusal;
mod request;
mod service;
mod settings;
mod signature;
mod state;
mod xml;

pub use attributes::Attributes;
pub use clock::Clock;
pub use emulator::Emulator;
pub use fault::{Fault, Injection};
pub use happening::{Happening, Observer, What};
pub use ledger::{Ledger, Tally};
pub use operation::Operation;
pub use queue::{Counts, MessageState, Visibility};
pub use refusal::Refusal;
pub use settings::{AccessKey, Format, Settings};
