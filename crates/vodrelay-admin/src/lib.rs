#![doc = include_str!("../README.md")]

mod api;
mod config;
mod health;
mod metrics;
mod openapi;
mod page;
mod process;
mod rates;
mod replays;
mod router;
mod serve;
mod stall;
mod token;

pub use config::{Config, Settings, TokenConfig};
pub use metrics::{InstallError, Metrics};
pub use router::{AdminState, router};
pub use serve::{Door, serve};
pub use token::{Role, Token, Tokens};
