//! GIF (87a and 89a, *GRAPHICS INTERCHANGE FORMAT, Version 89a*): the screen's size, then blocks up to the trailer.

use super::{Flaw, Format, Next, Step, Whole};

/// The rest of the version, and the logical screen descriptor.
pub(super) const FIRST: Step = Step { skip: 0, take: 9 };

/// Where the reader is in a GIF.
#[derive(Debug, Default)]
pub(super) struct Gif {
    at: At,
    width_px: u32,
    height_px: u32,
    frames: u64,
}

/// What the bytes are that come next.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Head,
    /// The byte that says what block begins.
    Introducer,
    /// The label of an extension, and the length of its first piece.
    Extension,
    /// Place and size of a frame, and whether it has colours of its own.
    Frame,
    /// The length of a piece of a block's data; none means that the block is over.
    Piece,
}

impl Gif {
    pub(super) fn next(&mut self, taken: &[u8]) -> Result<Next, Flaw> {
        let step = match (self.at, taken) {
            (At::Head, &[b'7' | b'9', b'a', w0, w1, h0, h1, flags, _, _]) => {
                self.head([w0, w1], [h0, h1], flags)?
            }
            (At::Head, _) => return Err(Flaw::Foreign(None)),
            (At::Introducer, [0x21]) => self.go(At::Extension, Step::take(2)),
            (At::Introducer, [0x2c]) => self.go(At::Frame, Step::take(9)),
            (At::Introducer, [0x3b]) => return self.trailer(),
            (At::Frame, &[.., flags]) => {
                self.frames += 1;
                // Behind the colours stands the first code size, which only a decoder needs.
                self.go(At::Piece, Step { skip: colours(flags) + 1, take: 1 })
            }
            (At::Extension | At::Piece, [.., 0]) => self.go(At::Introducer, Step::take(1)),
            (At::Extension | At::Piece, &[.., length]) => {
                self.go(At::Piece, Step { skip: length.into(), take: 1 })
            }
            _ => return Err(Flaw::Damaged(Format::Gif, "no block begins where one should")),
        };
        Ok(Next::Step(step))
    }

    fn head(&mut self, width: [u8; 2], height: [u8; 2], flags: u8) -> Result<Step, Flaw> {
        (self.width_px, self.height_px) =
            (u16::from_le_bytes(width).into(), u16::from_le_bytes(height).into());
        if self.width_px == 0 || self.height_px == 0 {
            return Err(Flaw::Damaged(Format::Gif, "it has no pixels"));
        }
        Ok(self.go(At::Introducer, Step { skip: colours(flags), take: 1 }))
    }

    fn trailer(&self) -> Result<Next, Flaw> {
        if self.frames == 0 {
            return Err(Flaw::Damaged(Format::Gif, "it has no frame"));
        }
        Ok(Next::Whole(Whole { width_px: self.width_px, height_px: self.height_px, frames: self.frames }))
    }

    fn go(&mut self, at: At, step: Step) -> Step {
        self.at = at;
        step
    }
}

/// The length of the table of colours that the flags tell of.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
