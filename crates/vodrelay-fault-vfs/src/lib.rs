#![doc = include_str!("../README.md")]

mod cut;
mod damage;
mod dice;
mod disk;
mod fault;
mod handle;
mod pages;
mod vfs;

pub use cut::Cut;
pub use damage::{flip_bit, flip_bits};
pub use dice::Dice;
pub use disk::FaultyDisk;
pub use fault::{Fault, File, How, Operation};
