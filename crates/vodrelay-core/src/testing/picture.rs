//! Animated images of any size, made piece by piece as they are sent, so that making them costs next to nothing.
//!
//! Any viewer shows them: small frames, and behind these a block that every decoder skips, which makes up the size.

use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;

/// What [`Picture::new`] chooses the size from, in bytes.
const SMALLEST: f64 = 1e3;
const LARGEST: f64 = 20e6;
/// Of every picture, in pixels.
const WIDTH: u16 = 320;
const HEIGHT: u16 = 180;
const FRAMES: usize = 5;

/// A piece of a GIF's block: its length, and as much as fits.
const PIECE: usize = 256;
/// The filling, again and again: pieces of a GIF's block, and for a WebP no more than bytes.
static FILLING: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_u32;
    let mut filling: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(256 * PIECE)
    .collect();
    filling.iter_mut().step_by(PIECE).for_each(|length| *length = 255);
    filling.into()
});

/// An image that its number and size tell in full. Even numbers are GIF, odd ones WebP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Picture {
    /// Its bytes differ from those of any other number.
    pub number: usize,
    /// In bytes.
    pub size: usize,
}

impl Picture {
    /// The picture of that number, of 1 KB to 20 MB. Of any run of numbers as many are between 1 and 10 KB as between 1
    /// and 10 MB.
    #[must_use]
    pub fn new(number: usize) -> Self {
        // Multiples of the golden ratio spread evenly, wherever one begins and ends.
        let part = (number as f64 * 0.618_033_988_749_894_9).fract();
        // A WebP of odd size would need a byte behind it.
        Self { number, size: (SMALLEST * (LARGEST / SMALLEST).powf(part)) as usize & !1 }
    }

    /// The picture at that path of a host, as [`Picture::url`] has it.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        let (number, size) = path.strip_prefix('/')?.split_once('.')?.0.split_once('-')?;
        Some(Self { number: number.parse().ok()?, size: size.parse().ok()? })
    }

    /// Where that host has it.
    #[must_use]
    pub fn url(self, host: SocketAddr) -> String {
        let Self { number, size } = self;
        format!("http://{host}/{number}-{size}.{}", if self.is_gif() { "gif" } else { "webp" })
    }

    /// A DynamicImageComplete that tells of it, truly, with its number as the video's.
    #[must_use]
    pub fn event(self, host: SocketAddr) -> Bytes {
        let Self { number, size } = self;
        let info = serde_json::json!({
            "FileSize": size.to_string(), "FileURL": self.url(host), "Fps": "25", "Height": HEIGHT.to_string(),
            "JobId": format!("{number:032x}"), "Status": "success", "Width": WIDTH.to_string(),
        });
        let event = serde_json::json!({
            "Status": "success", "VideoId": format!("{number:032x}"), "EventType": "DynamicImageComplete",
            "EventTime": "2024-03-05T09:12:58Z", "DynamicImageJobInfo": info.to_string(),
            "JobId": format!("{number:032x}"),
        });
        event.to_string().into()
    }

    /// Its bytes, in chunks of 64 KiB and less.
    pub fn chunks(self) -> impl Iterator<Item = Bytes> + Send {
        let (head, tail) = if self.is_gif() { self.gif() } else { (self.webp(), Vec::new()) };
        let filled = self.size - head.len() - tail.len();
        let filling =
            (0..filled).step_by(FILLING.len()).map(move |at| FILLING.slice(..FILLING.len().min(filled - at)));
        [Bytes::from(head)].into_iter().chain(filling).chain([Bytes::from(tail)])
    }

    fn is_gif(self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// What is before the filling, and what comes behind it: the last piece, and the end.
    fn gif(self) -> (Vec<u8>, Vec<u8>) {
        let mut head = [b"GIF89a".as_slice(), &WIDTH.to_le_bytes(), &HEIGHT.to_le_bytes()].concat();
        // Two colours.
        head.extend([0x80, 0, 0, 0xff, 0x6a, 0, 0x1b, 0x26, 0x31]);
        for _ in 0..FRAMES {
            // One pixel in the corner for 80 ms: codes of three bits, to clear the table, the first colour, the end.
            head.extend(b"\x21\xf9\x04\x04\x08\x00\x00\x00\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
        }
        // A comment, of which the number is the first piece.
        head.extend([0x21, 0xfe]);
        let number = (self.number as u64).to_le_bytes();
        let left = self.size - head.len() - 1 - number.len() - 2;
        // A piece without content would end the comment, so the one byte that is left goes to the number.
        let (filled, last) = (left / PIECE * PIECE, left % PIECE);
        let padding = usize::from(last == 1);
        head.push((number.len() + padding) as u8);
        head.extend(number);
        head.resize(head.len() + padding, 0);
        let mut tail = Vec::new();
        if last > 1 {
            tail.push((last - 1) as u8);
            tail.resize(last, b'.');
        }
        tail.extend([0, 0x3b]);
        debug_assert_eq!(head.len() + filled + tail.len(), self.size);
        (head, tail)
    }

    /// What is before the filling, which goes to the end.
    fn webp(self) -> Vec<u8> {
        let three_bytes = |pixels: u16| [(pixels - 1) as u8, ((pixels - 1) >> 8) as u8, 0];
        let canvas = [&[2, 0, 0, 0], &three_bytes(WIDTH)[..], &three_bytes(HEIGHT)].concat();
        let mut chunks = [b"WEBP".to_vec(), chunk(b"VP8X", &canvas), chunk(b"ANIM", &[0; 6])].concat();
        for frame in 0..FRAMES {
            // One pixel in the corner for 80 ms.
            let place = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80, 0, 0, 0];
            let picture = chunk(b"VP8L", &one_pixel([0xff - frame as u8 * 40, 0x6a, 0, 0xff]));
            chunks.extend(chunk(b"ANMF", &[&place[..], &picture].concat()));
        }
        chunks.extend(chunk(b"NUMB", &(self.number as u64).to_le_bytes()));
        let filled = self.size - 8 - chunks.len() - 8;
        let length = |length: usize| (length as u32).to_le_bytes();
        [b"RIFF", &length(self.size - 8)[..], &chunks, b"FILL", &length(filled)].concat()
    }
}

/// A chunk of a WebP, of even size.
fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [name, &(content.len() as u32).to_le_bytes()[..], content].concat()
}

/// A lossless picture of one pixel: 28 bits of size, seven without meaning here, then for each colour a code of one
/// symbol, which takes no bit.
fn one_pixel([red, green, blue, alpha]: [u8; 4]) -> [u8; 12] {
    let (mut bits, mut at) = (0u128, 8 + 28 + 4 + 3);
    for symbol in [green, red, blue, alpha] {
        // A simple code, of one symbol, of eight bits.
        bits |= u128::from(0b101 | u16::from(symbol) << 3) << at;
        at += 3 + 8;
    }
    // Of distances the one symbol 0, of one bit.
    bits |= 0b0001 << at | 0x2f;
    let [picture @ .., _, _, _, _] = bits.to_le_bytes();
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_size_and_differs_from_all_others() {
        let bytes = |picture: Picture| picture.chunks().flatten().collect::<Vec<u8>>();
        for size in (1_000..1_600).step_by(2).chain([1 << 16, 1_234_568]) {
            for number in [2, 3] {
                assert_eq!(bytes(Picture { number, size }).len(), size, "number {number}");
            }
        }
        assert_ne!(bytes(Picture { number: 2, size: 1_000 }), bytes(Picture { number: 4, size: 1_000 }));
        assert_ne!(bytes(Picture { number: 3, size: 1_000 }), bytes(Picture { number: 5, size: 1_000 }));
    }

    #[test]
    fn sizes_are_spread() {
        let within = |from: usize, to: usize| {
            (0..2_000).filter(|number| (from..to).contains(&Picture::new(*number).size)).count()
        };
        assert_eq!((within(0, 1_000), within(20_000_001, usize::MAX)), (0, 0));
        assert!(within(1_000, 10_000).abs_diff(within(1_000_000, 10_000_000)) < 3);
        assert!(within(10_000_000, 20_000_001) > 100);
    }

    #[test]
    fn its_url_tells_all_of_it_and_its_event_reads_without_a_doubt() {
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        for picture in [Picture::new(6), Picture::new(7)] {
            let url = picture.url(host);
            assert_eq!(Picture::at(url.strip_prefix("http://127.0.0.1:80").unwrap()), Some(picture));
            let event = vod_event::read(&picture.event(host)).unwrap().into_event();
            assert_eq!(event.doubts, []);
            let image = &event.images[0];
            assert_eq!(image.url, Some(url));
            assert_eq!((image.width_px, image.height_px), (Some(320), Some(180)));
            assert_eq!(image.size_bytes, Some(picture.size as u64));
        }
        assert_eq!(Picture::at("/nothing"), None);
    }
}
