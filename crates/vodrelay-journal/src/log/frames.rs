//! The frames of a log, each compared with the one before: whether it fits in, and what it was when it was written where
//! it does not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

pub(super) const HEADER: usize = 32;
pub(super) const FRAME_HEADER: usize = 24;
/// Every journal has it, from its first page on.
pub(super) const PAGE: usize = 4_096;
pub(super) const FRAME: usize = FRAME_HEADER + PAGE;

/// No journal of ours has so many pages: 64 GiB.
pub(super) const MOST_PAGES: u32 = 1 << 24;

/// What a disk writes at once, at the least.
const SECTOR: u64 = 512;
/// The page and the pages, with which a frame begins.
const WORDS: u64 = 8;

/// A running checksum.
type Sum = [u32; 2];

/// How the numbers that are summed up are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// That of this machine.
    pub(super) const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    /// That in which the header's checksum is right, or, where it is in none, that of this machine.
    fn of(header: &[u8; HEADER], stored: Sum) -> Self {
        let is_right = |order: &Self| {
            let mut written = *header;
            written[..4].copy_from_slice(&order.magic().to_be_bytes());
            sum([0, 0], written.get(..24).unwrap_or_default(), *order) == stored
        };
        [Self::Little, Self::Big].into_iter().find(is_right).unwrap_or(Self::NATIVE)
    }

    /// How a log begins.
    fn magic(self) -> u32 {
        match self {
            Self::Little => 0x377f_0682,
            Self::Big => 0x377f_0683,
        }
    }

    fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The number that stands in the log as that word: numbers are big endian always.
    fn number(self, word: u32) -> u32 {
        match self {
            Self::Little => word.swap_bytes(),
            Self::Big => word,
        }
    }
}

/// A frame as it stands.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    pub(super) fn page(&self) -> u32 {
        number_at(&self.bytes, 0)
    }

    /// How many pages the database has when this is a commit; 0 where it is none.
    fn pages(&self) -> u32 {
        number_at(&self.bytes, 4)
    }

    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(FRAME_HEADER..).unwrap_or_default()
    }

    fn salts(&self) -> (u32, u32) {
        (number_at(&self.bytes, 8), number_at(&self.bytes, 12))
    }

    pub(super) fn stored(&self) -> Sum {
        [number_at(&self.bytes, 16), number_at(&self.bytes, 20)]
    }

    /// What its checksum is when it follows one with that checksum.
    pub(super) fn sum_after(&self, before: Sum, order: Order) -> Sum {
        let head = sum(before, self.bytes.get(..8).unwrap_or_default(), order);
        sum(head, self.body(), order)
    }

    /// The page and the pages with which the frame would fit, by its checksum and its body.
    fn undone(&self, before: Sum, order: Order) -> Option<(u32, u32)> {
        let [first, second] = undo_sum(self.stored(), self.body(), order);
        let page = order.number(first.wrapping_sub(before[0]).wrapping_sub(before[1]));
        let pages = order.number(second.wrapping_sub(before[1]).wrapping_sub(first));
        ((1..MOST_PAGES).contains(&page) && (0..MOST_PAGES).contains(&pages)).then_some((page, pages))
    }

    /// Whether the frame would fit if a single bit of its body or of its checksum were another. A checksum is linear, so
    /// that each bit has its own share in it.
    fn is_one_bit_off(&self, before: Sum, order: Order) -> bool {
        let stored = self.stored();
        let found = self.sum_after(before, order);
        let missing = [stored[0].wrapping_sub(found[0]), stored[1].wrapping_sub(found[1])];
        let is_bit = |number: u32| number.is_power_of_two() || number.wrapping_neg().is_power_of_two();
        if matches!(missing, [0, other] | [other, 0] if is_bit(other)) {
            return true;
        }
        // The shares of the two words of a pair, from the last pair to the first.
        let (mut one, mut other): (Sum, Sum) = ([1, 1], [0, 1]);
        let follow = |[first, second]: Sum| {
            let first = first.wrapping_add(second);
            [first, second.wrapping_add(first)]
        };
        let (pairs, _) = self.body().as_chunks::<8>();
        (0..pairs.len()).any(|_| {
            let shares = [one, other];
            (one, other) = (follow(one), follow(other));
            (0..32).any(|bit| {
                let [up, down] = [1_u32 << bit, (1_u32 << bit).wrapping_neg()];
                shares.iter().any(|share| {
                    [up, down]
                        .iter()
                        .any(|by| [share[0].wrapping_mul(*by), share[1].wrapping_mul(*by)] == missing)
                })
            })
        })
    }
}

/// How the header stands, which is synced before any frame behind it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Right,
    /// Its checksum is not.
    Wrong,
    /// It is that which the log had the time before, as the salts of its first frame tell.
    OfBefore,
}

impl Header {
    /// Each time that the log begins anew its first salt is one more.
    fn judge(is_right: bool, salts: (u32, u32), first: Option<(u32, u32)>) -> Self {
        match (is_right, first) {
            (false, _) => Self::Wrong,
            (true, Some((first, _))) if first == salts.0.wrapping_add(1) => Self::OfBefore,
            _ => Self::Right,
        }
    }
}

/// The frames of a log, one after the other, each compared with the one before.
pub(super) struct Log {
    file: BufReader<File>,
    order: Order,
    pub(super) header: Header,
    /// The salts by which its index knows it: those of the header, or, where that is not right, of its frames.
    pub(super) known_by: Option<(u32, u32)>,
    /// Those of its frames. Where the header does not say whose they are, those that fit one another do.
    salts: Option<(u32, u32)>,
    /// The checksums that a frame may follow: as stored, and as they ought to be stored.
    before: [Sum; 2],
    /// Of the frame before.
    continued: bool,
    /// Where the next frame begins.
    at: u64,
}

/// A frame in its place.
pub(super) struct Step {
    pub(super) frame: Frame,
    /// SQLite takes it, if it took those before.
    pub(super) continues: bool,
    /// A transaction ended with it, also where it is damaged itself.
    pub(super) is_commit: bool,
    /// The page that it may be of, where its head does not say so.
    pub(super) other_page: Option<Other>,
}

pub(super) struct Other {
    pub(super) page: u32,
    /// Nothing else can be what is wrong.
    pub(super) is_sure: bool,
}

impl Iterator for Log {
    type Item = io::Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = vec![0; FRAME];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Some(Ok(self.step(Frame { bytes }))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Log {
    /// Nothing where there is no log, or one without a whole header.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => BufReader::with_capacity(1 << 20, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = [0; HEADER];
        match file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let stored = [number_at(&bytes, 24), number_at(&bytes, 28)];
        let order = Order::of(&bytes, stored);
        let summed = sum([0, 0], bytes.get(..24).unwrap_or_default(), order);
        let salts = (number_at(&bytes, 16), number_at(&bytes, 20));
        // Only looked at: it is read again as what it is.
        let heads = file.fill_buf()?.chunks(FRAME).filter_map(|frame| frame.get(..FRAME_HEADER));
        let mut salts_of_frames = heads.map(|head| (number_at(head, 8), number_at(head, 12)));
        let first = salts_of_frames.next();
        // The first may have been lost with the header.
        let known = first.into_iter().chain(salts_of_frames).find(|salts| *salts != (0, 0));
        let header = Header::judge(number_at(&bytes, 0) == order.magic() && summed == stored, salts, first);
        let is_right = header == Header::Right;
        let (known_by, salts) = match header {
            Header::Right => (Some(salts), Some(salts)),
            Header::OfBefore => (first, first),
            Header::Wrong => (known, None),
        };
        let (before, at) = ([stored, summed], HEADER as u64);
        Ok(Some(Self { file, order, header, known_by, salts, before, continued: is_right, at }))
    }

    fn step(&mut self, frame: Frame) -> Step {
        // Zeros sum up to zero, and no page has that number.
        let fits = frame.page() != 0
            && self.before.iter().any(|before| frame.sum_after(*before, self.order) == frame.stored());
        if fits {
            self.salts.get_or_insert(frame.salts());
        }
        let has_salts = self.salts == Some(frame.salts());
        let continues = has_salts && fits;
        // No checksum covers the salts, so a frame that fits in is ours though a bit of them has flipped.
        let is_commit = if fits { frame.pages() != 0 } else { has_salts && self.was_commit(&frame) };
        let other_page = if fits { None } else { self.other_page(&frame) };
        self.before = [frame.stored(), frame.sum_after(self.before[0], self.order)];
        self.continued = continues;
        self.at += FRAME as u64;
        Step { frame, continues, is_commit, other_page }
    }

    /// Whether a frame that does not fit was a commit when it was written.
    fn was_commit(&self, frame: &Frame) -> bool {
        let undone = frame.undone(self.before[0], self.order);
        if frame.pages() == 0 {
            // A bit of that word has flipped, and it was the only one.
            return undone.is_some_and(|(page, pages)| page == frame.page() && pages.is_power_of_two());
        }
        if self.at % SECTOR != SECTOR - WORDS {
            return true;
        }
        // These words are in one sector with the end of the frame before, and the rest is in the next. Where a cut has
        // left the first sector as it was long ago, they are those of another frame, so more has to speak for a commit.
        let was_one = undone.is_some_and(|(_, pages)| pages != 0);
        self.continued && (was_one || frame.is_one_bit_off(self.before[0], self.order))
    }

    /// Another page that a frame which does not fit may be of: that from which its own differs by one bit, where
    /// nothing else would be wrong.
    fn other_page(&self, frame: &Frame) -> Option<Other> {
        let (page, pages) = frame.undone(self.before[0], self.order)?;
        let may_be = pages == frame.pages() && (page ^ frame.page()).is_power_of_two();
        may_be.then(|| Other { page, is_sure: !frame.is_one_bit_off(self.before[0], self.order) })
    }
}

pub(super) fn sum(before: Sum, bytes: &[u8], order: Order) -> Sum {
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs.iter().fold(before, |[first, second], [a, b, c, d, e, f, g, h]| {
        let first = first.wrapping_add(order.word([*a, *b, *c, *d])).wrapping_add(second);
        [first, second.wrapping_add(order.word([*e, *f, *g, *h])).wrapping_add(first)]
    })
}

/// The checksum before these bytes, of which that is the one behind them.
fn undo_sum(after: Sum, bytes: &[u8], order: Order) -> Sum {
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs.iter().rev().fold(after, |[first, second], [a, b, c, d, e, f, g, h]| {
        let second = second.wrapping_sub(order.word([*e, *f, *g, *h])).wrapping_sub(first);
        [first.wrapping_sub(order.word([*a, *b, *c, *d])).wrapping_sub(second), second]
    })
}

pub(super) fn number_at(bytes: &[u8], offset: usize) -> u32 {
    let found = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_can_be_undone() {
        let bytes: Vec<u8> = (0..=255).collect();
        for order in [Order::Little, Order::Big] {
            assert_eq!(undo_sum(sum([7, 9], &bytes, order), &bytes, order), [7, 9]);
        }
    }
}
