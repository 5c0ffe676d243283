//! The demo's animated images, made from nothing: a GIF of a moving bar and a WebP that changes its colour. Any viewer
//! shows them.

/// Of both images, in pixels.
pub(super) const WIDTH: u16 = 160;
/// Of both images, in pixels.
pub(super) const HEIGHT: u16 = 90;
/// Of both images.
const FRAMES: u8 = 12;

/// How wide the bar is, and how far it moves from frame to frame.
const BAR: u16 = 12;

/// A GIF89a without compression: LZW whose table is cleared before its codes grow, so that each byte is a pixel.
pub(super) fn gif() -> Vec<u8> {
    const CLEAR: u8 = 0x80;
    const END: u8 = 0x81;
    let mut gif = b"GIF89a".to_vec();
    gif.extend(size());
    // 128 colours; the first two are used.
    gif.extend([0xf6, 0, 0, 0x1b, 0x26, 0x31, 0xff, 0x6a, 0x00]);
    gif.extend([0; 126 * 3]);
    gif.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00");
    for frame in 0..u16::from(FRAMES) {
        // 80 ms, then the frame's place and size, and seven bits for a pixel.
        gif.extend(b"\x21\xf9\x04\x04\x08\x00\x00\x00\x2c\x00\x00\x00\x00");
        gif.extend(size());
        gif.extend([0, 7]);
        let row: Vec<u8> = (0..WIDTH).map(|column| u8::from(column / BAR == frame)).collect();
        let mut codes = Vec::new();
        for _ in 0..HEIGHT {
            for piece in row.chunks(100) {
                codes.push(CLEAR);
                codes.extend(piece);
            }
        }
        codes.push(END);
        for piece in codes.chunks(255) {
            gif.extend(u8::try_from(piece.len()));
            gif.extend(piece);
        }
        gif.push(0);
    }
    gif.push(0x3b);
    gif
}

fn size() -> Vec<u8> {
    [WIDTH.to_le_bytes(), HEIGHT.to_le_bytes()].concat()
}

/// A WebP of lossless frames, each of one colour.
pub(super) fn webp() -> Vec<u8> {
    let size = [three_bytes(WIDTH - 1), three_bytes(HEIGHT - 1)].concat();
    let canvas = chunk(b"VP8X", &[&[0x02, 0, 0, 0], &size[..]].concat());
    let mut chunks = [b"WEBP".to_vec(), canvas, chunk(b"ANIM", &[0; 6])].concat();
    for frame in 0..FRAMES {
        let place = [&[0; 6], &size[..], &[80, 0, 0, 0]].concat();
        let picture = chunk(b"VP8L", &one_colour([0xff - frame * 20, 0x6a, frame * 20]));
        chunks.extend(chunk(b"ANMF", &[place, picture].concat()));
    }
    chunk(b"RIFF", &chunks)
}

fn three_bytes(number: u16) -> [u8; 3] {
    let [low, high] = number.to_le_bytes();
    [low, high, 0]
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
    let padding: &[u8] = if content.len().is_multiple_of(2) { &[] } else { &[0] };
    [&name[..], &size, content, padding].concat()
}

/// A lossless picture whose codes have one symbol each, so that no pixel takes a bit.
fn one_colour([red, green, blue]: [u8; 3]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(u32::from(WIDTH) - 1, 14);
    bits.push(u32::from(HEIGHT) - 1, 14);
    // No alpha, version 0, no transform, no cache of colours, one set of codes.
    bits.push(0, 7);
    for symbol in [green, red, blue, 0xff] {
        // A simple code of one symbol of eight bits.
        bits.push(0b101, 3);
        bits.push(symbol.into(), 8);
    }
    bits.push(0b0001, 4);
    [vec![0x2f], bits.bytes()].concat()
}

/// Bits, the lowest of each number and byte first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn push(&mut self, number: u32, count: u32) {
        self.0.extend((0..count).map(|at| number >> at & 1 == 1));
    }

    fn bytes(&self) -> Vec<u8> {
        self.0
            .chunks(8)
            .map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect()
    }
}
