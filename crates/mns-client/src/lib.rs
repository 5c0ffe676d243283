#![doc = include_str!("../README.md")]

mod answer;
mod attributes;
mod client;
mod config;
mod encoding;
mod error;
mod message;
mod name;
mod queue;
mod request;
mod retry;
mod signature;
mod tls;
mod transport;
mod words;
mod xml;

pub use aliyun_credentials::{CredentialProvider, CredentialSource, Credentials};
pub use attributes::{AttributeChanges, QueueAttributes};
pub use client::{Client, Created, ListQueues, QueuePage};
pub use config::{Config, Endpoint};
pub use encoding::{Encoding, EncodingError};
pub use error::{EntryError, Error, ErrorKind};
pub use message::{Message, Outgoing, PeekedMessage, Poll, Property, PropertyKind, Retimed, Sent};
pub use name::{InvalidQueueName, QueueName, ReceiptHandle};
pub use queue::{MAX_BATCH, MAX_WAIT, Queue};
pub use retry::Retry;
