//! Checks an image while it streams by: GIF or WebP, whole or not, its pixels, its frames, its SHA-256. Nothing of the
//! image is held, and where it is cut into chunks makes no difference.

mod claims;
mod gif;
mod webp;

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

pub(super) use claims::compare;

/// What an image is, as its own bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) format: Format,
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Zero bytes after the end of the image. They say nothing, so they are kept with it.
    pub(super) zeros_after: u64,
    pub(super) sha256: [u8; 32],
}

/// The two formats that VOD makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Gif,
    WebP,
}

impl Format {
    pub(super) const ALL: [Self; 2] = [Self::Gif, Self::WebP];

    /// The word in records, and the ending of keys.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::WebP => "webp",
        }
    }

    /// As a store is told it.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gif => "GIF",
            Self::WebP => "WebP",
        })
    }
}

/// Why a body is not one whole image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Flaw {
    #[error("the body is empty")]
    Empty,
    #[error("the body is neither GIF nor WebP{}", like(.0))]
    Foreign(Option<&'static str>),
    #[error("the {0} ends in the middle")]
    CutShort(Format),
    #[error("the {0} is damaged: {1}")]
    Damaged(Format, &'static str),
    #[error("something else comes after the end of the {0}")]
    Trailing(Format),
}

fn like(what: &Option<&'static str>) -> String {
    what.map(|what| format!(", it begins like {what}")).unwrap_or_default()
}

/// Takes an image chunk by chunk.
#[derive(Debug)]
pub(super) struct Inspector {
    sha256: Sha256,
    bytes: u64,
    reader: Reader,
    /// What the reader waits for.
    step: Step,
    /// Bytes that the reader waits for and that have come; never more than it can ask for at once.
    held: Vec<u8>,
}

/// The state of reading.
#[derive(Debug)]
enum Reader {
    /// Before the first four bytes.
    Start,
    Gif(gif::Gif),
    WebP(webp::WebP),
    /// After the last byte of the image.
    After {
        format: Format,
        width_px: u32,
        height_px: u32,
        frames: u64,
        zeros: u64,
    },
}

/// How many bytes do not matter, and how many after them do. A reader that asks for none of either has its image whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    skip: u64,
    take: usize,
}

impl Step {
    fn take(take: usize) -> Self {
        Self { skip: 0, take }
    }
}

/// The image is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whole {
    width_px: u32,
    height_px: u32,
    frames: u64,
}

/// Where a format's reader goes from here.
enum Next {
    Step(Step),
    Whole(Whole),
}

/// The bytes that tell the formats apart.
const MAGIC: usize = 4;

impl Inspector {
    pub(super) fn new() -> Self {
        Self {
            sha256: Sha256::new(),
            bytes: 0,
            reader: Reader::Start,
            step: Step::take(MAGIC),
            held: Vec::with_capacity(16),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As soon as they cannot belong to an image. Nothing may be asked of the inspector then.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Flaw> {
        self.sha256.update(chunk);
        self.bytes += chunk.len() as u64;
        let mut rest = chunk;
        loop {
            if let Reader::After { format, zeros, .. } = &mut self.reader {
                *zeros += rest.len() as u64;
                let all_zero = rest.iter().all(|&byte| byte == 0);
                return if all_zero { Ok(()) } else { Err(Flaw::Trailing(*format)) };
            }
            let Step { skip, take } = &mut self.step;
            let skipped = usize::try_from(*skip).unwrap_or(usize::MAX).min(rest.len());
            *skip -= skipped as u64;
            let (taken, after) =
                rest.split_at(skipped).1.split_at((*take - self.held.len()).min(rest.len() - skipped));
            self.held.extend_from_slice(taken);
            rest = after;
            if *skip > 0 || self.held.len() < *take {
                return Ok(());
            }
            self.advance()?;
        }
    }

    /// What the image is, now that all of it has passed.
    ///
    /// # Errors
    /// If it has not.
    pub(super) fn finish(self) -> Result<Facts, Flaw> {
        match self.reader {
            Reader::After { format, width_px, height_px, frames, zeros } => Ok(Facts {
                format,
                width_px,
                height_px,
                frames,
                bytes: self.bytes,
                zeros_after: zeros,
                sha256: self.sha256.finalize().into(),
            }),
            Reader::Start if self.held.is_empty() => Err(Flaw::Empty),
            Reader::Start => Err(Flaw::Foreign(begins_like(&self.held))),
            Reader::Gif(_) => Err(Flaw::CutShort(Format::Gif)),
            Reader::WebP(_) => Err(Flaw::CutShort(Format::WebP)),
        }
    }

    /// Which format it is, once that is known.
    pub(super) fn format(&self) -> Option<Format> {
        match self.reader {
            Reader::Start => None,
            Reader::Gif(_) => Some(Format::Gif),
            Reader::WebP(_) => Some(Format::WebP),
            Reader::After { format, .. } => Some(format),
        }
    }

    /// Gives the reader what it waited for.
    fn advance(&mut self) -> Result<(), Flaw> {
        let (format, next) = match &mut self.reader {
            Reader::Start => return self.recognise(),
            Reader::Gif(gif) => (Format::Gif, gif.next(&self.held)?),
            Reader::WebP(webp) => (Format::WebP, webp.next(&self.held)?),
            Reader::After { .. } => return Ok(()),
        };
        self.held.clear();
        match next {
            Next::Step(step) => self.step = step,
            Next::Whole(Whole { width_px, height_px, frames }) => {
                self.reader = Reader::After { format, width_px, height_px, frames, zeros: 0 };
            }
        }
        Ok(())
    }

    fn recognise(&mut self) -> Result<(), Flaw> {
        (self.reader, self.step) = match self.held.as_slice() {
            b"GIF8" => (Reader::Gif(gif::Gif::default()), gif::FIRST),
            b"RIFF" => (Reader::WebP(webp::WebP::default()), webp::FIRST),
            other => return Err(Flaw::Foreign(begins_like(other))),
        };
        self.held.clear();
        Ok(())
    }
}

/// What a body that is no image most likely is, by its first bytes.
fn begins_like(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes.trim_ascii_start() {
        [b'<', ..] => "HTML or XML",
        [b'{' | b'[', ..] => "JSON",
        [0x1f, 0x8b, ..] => "gzip",
        [0x89, b'P', b'N', b'G', ..] => "PNG",
        [0xff, 0xd8, ..] => "JPEG",
        [b'P', b'K', ..] => "a ZIP archive",
        [0, 0, 0, _, ..] => "a video",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
