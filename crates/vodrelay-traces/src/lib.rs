#![doc = include_str!("../README.md")]

mod config;
mod exporter;
mod otlp;

pub use config::{Config, Settings};
pub use exporter::Exporter;
pub use otlp::Resource;
