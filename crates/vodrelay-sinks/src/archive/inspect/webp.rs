//! WebP (*WebP Container Specification*): a RIFF file whose first chunk says how large the canvas is.

use super::{Flaw, Format, Next, Step, Whole};

/// The file's size and its kind.
pub(super) const FIRST: Step = Step { skip: 0, take: 8 };
/// The head of a chunk: its name and its size.
const CHUNK_HEAD: u32 = 8;
/// The least that an animation's frame has: its place, and the head of the chunk inside.
const SMALLEST_FRAME: u32 = 24;

/// Where the reader is in a WebP.
#[derive(Debug, Default)]
pub(super) struct WebP {
    at: At,
    /// Bytes of the file that are not asked for yet.
    left: u32,
    canvas: Option<(u32, u32)>,
    frames: u64,
}

/// What the bytes are that come next.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Head,
    Chunk,
    /// The beginning of the first chunk's content, and how much of the chunk comes after it.
    Lossy(u32),
    Lossless(u32),
    Extended(u32),
    End,
}

impl WebP {
    pub(super) fn next(&mut self, taken: &[u8]) -> Result<Next, Flaw> {
        let step = match (self.at, taken) {
            (At::Head, &[s0, s1, s2, s3, b'W', b'E', b'B', b'P']) => {
                self.left = u32::from_le_bytes([s0, s1, s2, s3]).checked_sub(4).ok_or(OVERRUN)?;
                self.chunk_after(0)?
            }
            (At::Head, _) => return Err(Flaw::Foreign(None)),
            (At::Chunk, &[n0, n1, n2, n3, s0, s1, s2, s3]) => {
                self.chunk([n0, n1, n2, n3], u32::from_le_bytes([s0, s1, s2, s3]))?
            }
            // RFC 6386 9.1: the frame's tag, whose lowest bit is 0 in a key frame, a start code, and 14 bits each.
            (At::Lossy(rest), &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1]) if tag & 1 == 0 => {
                let pixels = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
                self.canvas(pixels([w0, w1]), pixels([h0, h1]), rest)?
            }
            (At::Lossless(rest), &[0x2f, b0, b1, b2, b3]) => {
                let bits = u32::from_le_bytes([b0, b1, b2, b3]);
                self.canvas((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1, rest)?
            }
            (At::Extended(rest), &[_, _, _, _, w0, w1, w2, h0, h1, h2]) => {
                let pixels = |[b0, b1, b2]: [u8; 3]| u32::from_le_bytes([b0, b1, b2, 0]) + 1;
                self.canvas(pixels([w0, w1, w2]), pixels([h0, h1, h2]), rest)?
            }
            (At::End, _) => return self.end(),
            _ => return Err(Flaw::Damaged(Format::WebP, "its first chunk is not an image")),
        };
        Ok(Next::Step(step))
    }

    /// The first chunk tells the size; of the others only the name counts.
    fn chunk(&mut self, name: [u8; 4], size: u32) -> Result<Step, Flaw> {
        // A chunk of odd size has a byte behind it. Some writers leave that out at the end of the file.
        let padded = size.checked_add(size & 1).ok_or(OVERRUN)?;
        let padded = if size == self.left { size } else { padded };
        self.left = self.left.checked_sub(padded).ok_or(OVERRUN)?;
        let is_first = self.canvas.is_none();
        let (at, head): (fn(u32) -> At, u32) = match &name {
            b"VP8 " if is_first => (At::Lossy, 10),
            b"VP8L" if is_first => (At::Lossless, 5),
            b"VP8X" if is_first => (At::Extended, 10),
            _ if is_first => return Err(Flaw::Damaged(Format::WebP, "its first chunk is not an image")),
            b"ANMF" if size < SMALLEST_FRAME => return Err(OVERRUN),
            _ => {
                self.frames += u64::from(matches!(&name, b"VP8 " | b"VP8L" | b"ANMF"));
                return self.chunk_after(padded);
            }
        };
        self.frames += u64::from(&name != b"VP8X");
        self.at = at(padded.checked_sub(head).ok_or(OVERRUN)?);
        Ok(Step { skip: 0, take: head as usize })
    }

    fn canvas(&mut self, width_px: u32, height_px: u32, rest: u32) -> Result<Step, Flaw> {
        if width_px == 0 || height_px == 0 {
            return Err(Flaw::Damaged(Format::WebP, "it has no pixels"));
        }
        self.canvas = Some((width_px, height_px));
        self.chunk_after(rest)
    }

    /// Goes to the next chunk, behind so many bytes that do not matter, or to the end of the file.
    fn chunk_after(&mut self, skip: u32) -> Result<Step, Flaw> {
        if self.left == 0 {
            self.at = At::End;
            return Ok(Step { skip: skip.into(), take: 0 });
        }
        self.left = self.left.checked_sub(CHUNK_HEAD).ok_or(OVERRUN)?;
        self.at = At::Chunk;
        Ok(Step { skip: skip.into(), take: CHUNK_HEAD as usize })
    }

    fn end(&self) -> Result<Next, Flaw> {
        match self.canvas {
            Some((width_px, height_px)) if self.frames > 0 => {
                Ok(Next::Whole(Whole { width_px, height_px, frames: self.frames }))
            }
            _ => Err(Flaw::Damaged(Format::WebP, "it has no frame")),
        }
    }
}

const OVERRUN: Flaw = Flaw::Damaged(Format::WebP, "its sizes do not fit into each other");
