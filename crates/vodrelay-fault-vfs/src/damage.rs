//! Bits that flip in a file at rest, as they do on disks that rot.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::dice::Dice;

/// Flips one bit of the file: bit `bit % 8` of the byte at that offset.
///
/// # Errors
/// If the file cannot be read or written there.
pub fn flip_bit(path: &Path, offset: u64, bit: u8) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], offset)?;
    Ok(())
}

/// Flips that many bits of the file at places that the seed chooses, and returns their offsets. An empty file has none.
///
/// # Errors
/// If the file cannot be read or written.
pub fn flip_bits(path: &Path, seed: u64, count: usize) -> io::Result<Vec<u64>> {
    let (length, mut dice) = (std::fs::metadata(path)?.len(), Dice::new(seed));
    if length == 0 {
        return Ok(Vec::new());
    }
    let flip = |_| {
        let offset = dice.below(length);
        flip_bit(path, offset, u8::try_from(dice.below(8)).unwrap_or(0)).map(|()| offset)
    };
    (0..count).map(flip).collect()
}
