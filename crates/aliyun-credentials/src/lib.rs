#![doc = include_str!("../README.md")]

mod config;
mod credentials;
#[cfg(feature = "ecs")]
mod ecs;
mod error;
mod file;
mod provider;
mod source;
mod sts;
mod watched;

pub use config::Config;
pub use credentials::{Credentials, Secret};
#[cfg(feature = "ecs")]
pub use ecs::EcsRamRole;
pub use error::{CredentialError, ErrorKind};
pub use file::File;
pub use provider::CredentialProvider;
pub use source::{CredentialSource, Environment, Static};
pub use sts::StsFile;
