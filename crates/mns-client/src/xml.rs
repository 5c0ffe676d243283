//! The XML of the protocol: trees that were read with care, and documents that are written by hand.

mod read;
mod write;

pub(crate) use self::read::{Element, read};
pub(crate) use self::write::Writer;
