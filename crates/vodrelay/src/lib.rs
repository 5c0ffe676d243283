#![doc = include_str!("../README.md")]

mod cli;
mod command;
pub mod config;
mod demo;
mod exit;
mod logging;
mod output;
pub mod relay;
pub mod sockets;
mod supervisor;

use std::process::ExitCode;
use std::sync::Arc;

use vodrelay_core::SinkFactory;

/// Runs the command line with the built-in sinks and with these of your own.
#[must_use]
pub fn main(factories: Vec<Arc<dyn SinkFactory>>) -> ExitCode {
    cli::run(factories)
}
