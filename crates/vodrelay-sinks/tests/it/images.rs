//! Makes images that any viewer shows: GIF without compression and WebP of one colour, of any size.

/// A GIF with a stripe that moves from frame to frame. A pixel is about a byte, so large pictures are large files.
pub(crate) fn gif(width: u16, height: u16, frames: u16) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    // 128 greys, the first one behind the picture.
    bytes.extend([0xf6, 0, 0]);
    bytes.extend((0..128u8).flat_map(|grey| [grey * 2; 3]));
    bytes.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00");
    for frame in 0..frames {
        // 40 ms.
        bytes.extend(b"\x21\xf9\x04\x04\x04\x00\x00\x00");
        bytes.extend(b"\x2c\x00\x00\x00\x00");
        bytes.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
        bytes.extend([0, 7]);
        let pixels = (0..usize::from(width) * usize::from(height))
            .map(|at| ((at % usize::from(width) + usize::from(frame) * 8) & 127) as u8);
        bytes.extend(pieces(&uncompressed(pixels)));
    }
    bytes.push(0x3b);
    bytes
}

/// LZW codes of seven bits and one: as the table is cleared before it grows, each code is the pixel itself.
fn uncompressed(pixels: impl Iterator<Item = u8>) -> Vec<u8> {
    const CLEAR: u8 = 0x80;
    const END: u8 = 0x81;
    let mut codes = Vec::new();
    for (at, pixel) in pixels.enumerate() {
        if at % 100 == 0 {
            codes.push(CLEAR);
        }
        codes.push(pixel);
    }
    codes.push(END);
    codes
}

fn pieces(data: &[u8]) -> Vec<u8> {
    let mut pieces: Vec<u8> =
        data.chunks(255).flat_map(|piece| [&[piece.len() as u8], piece].concat()).collect();
    pieces.push(0);
    pieces
}

/// An animated WebP of that many frames, each of another colour; of one frame, a still one. A chunk that nobody
/// reads makes the file larger by `filling` bytes.
pub(crate) fn webp(width: u16, height: u16, frames: u16, filling: usize) -> Vec<u8> {
    let still = |frame: u16| chunk(b"VP8L", &one_colour(width, height, (frame as u8).wrapping_mul(40)));
    let size = |pixels: u16| (u32::from(pixels) - 1).to_le_bytes()[..3].to_vec();
    let mut chunks = chunk(b"VP8X", &[vec![2, 0, 0, 0], size(width), size(height)].concat());
    if frames == 1 && filling == 0 {
        chunks = still(0);
    } else {
        chunks.extend(chunk(b"ANIM", &[255, 255, 255, 255, 0, 0]));
        chunks.extend((0..frames).flat_map(|frame| {
            let place = [vec![0; 6], size(width), size(height), vec![40, 0, 0, 0]].concat();
            chunk(b"ANMF", &[place, still(frame)].concat())
        }));
    }
    if filling > 0 {
        chunks.extend(chunk(b"FILL", &vec![b'.'; filling]));
    }
    chunk(b"RIFF", &[b"WEBP".to_vec(), chunks].concat())
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding: &[u8] = if content.len().is_multiple_of(2) { &[] } else { &[0] };
    [name, &(content.len() as u32).to_le_bytes()[..], content, padding].concat()
}

/// A lossless picture whose five codes have one symbol each, so that no pixel needs a bit.
fn one_colour(width: u16, height: u16, grey: u8) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(u64::from(width) - 1, 14);
    bits.push(u64::from(height) - 1, 14);
    // No alpha, version 0; no transform, no cache of colours, one set of codes.
    bits.push(0, 1 + 3 + 1 + 1 + 1);
    for symbol in [grey, grey, grey, 255] {
        // Simple, one symbol, of eight bits.
        bits.push(0b101, 3);
        bits.push(symbol.into(), 8);
    }
    bits.push(0b0001, 4);
    [
        vec![0x2f],
        bits.0.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect(),
    ]
    .concat()
}

/// Bits, the lowest first.
#[derive(Default)]
struct Bits(Vec<u8>);

impl Bits {
    fn push(&mut self, value: u64, count: u32) {
        self.0.extend((0..count).map(|at| (value >> at & 1) as u8));
    }
}
