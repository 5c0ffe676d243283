#![doc = include_str!("../README.md")]

mod identity;
mod known;
mod stream;

pub use identity::{Identity, IdentityError, Part};
pub use known::knowing;
pub use stream::{Stream, accept};
