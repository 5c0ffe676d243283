//! One file for each command of the command line.

pub(crate) mod archive;
pub(crate) mod ask;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod confirm;
pub(crate) mod dead_letters;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod gaps;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod key;
pub(crate) mod listen;
pub(crate) mod live;
pub(crate) mod refused;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod sign_url;
pub(crate) mod sinks;
pub(crate) mod stop;
pub(crate) mod trigger;
pub(crate) mod verify;
pub(crate) mod when;
