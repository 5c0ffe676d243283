//! The receiver as its clients see it: raw bytes over a socket, and what the journal then holds.

mod answers;
mod bad_input;
mod configuration;
mod connections;
mod server;
mod timing;
