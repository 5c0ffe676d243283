//! The XML of the protocol: trees that were read with care, and documents that are written by hand.

mod read;
mod salvage;
mod text;
mod write;

pub(crate) use self::read::{Element, read};
pub(crate) use self::salvage::salvage;
pub(crate) use self::write::Writer;
