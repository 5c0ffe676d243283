//! Looking at the write-ahead log before SQLite does.
//!
//! SQLite ends a log at the first frame whose checksum is not right, since that is how a power cut leaves the end of
//! one. A bit that flips in the middle looks the same, and every commit behind it would be dropped without a word. But
//! each commit is synced before the next one begins. So where a frame continues from a commit that stands behind the
//! break, that commit had been acknowledged, and the log is damaged, not cut.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#walformat>. What cannot be told from a cut is damage of
//! the very last commit, and of the one before where a whole sector is gone with the head of its last frame.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::storage::Storage;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Every journal has it, from its first page on.
const PAGE: usize = 4_096;
const FRAME: usize = FRAME_HEADER + PAGE;

/// No journal of ours has so many pages: 64 GiB.
const MOST_PAGES: u32 = 1 << 24;

/// What a disk writes at once, at the least.
const SECTOR: u64 = 512;
/// The page and the pages, with which a frame begins.
const WORDS: u64 = 8;

/// A running checksum.
type Sum = [u32; 2];

/// How the numbers that are summed up are stored.
#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// That in which the header's checksum is right, or, where it is in none, that of this machine.
    fn of(header: &[u8; HEADER], stored: Sum) -> Self {
        let is_right = |order: &Self| {
            let mut written = *header;
            written[..4].copy_from_slice(&order.magic().to_be_bytes());
            sum([0, 0], written.get(..24).unwrap_or_default(), *order) == stored
        };
        let native = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };
        [Self::Little, Self::Big].into_iter().find(is_right).unwrap_or(native)
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
struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    fn page(&self) -> u32 {
        number_at(&self.bytes, 0)
    }

    /// How many pages the database has when this is a commit; 0 where it is none.
    fn pages(&self) -> u32 {
        number_at(&self.bytes, 4)
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(FRAME_HEADER..).unwrap_or_default()
    }

    fn salts(&self) -> (u32, u32) {
        (number_at(&self.bytes, 8), number_at(&self.bytes, 12))
    }

    fn stored(&self) -> Sum {
        [number_at(&self.bytes, 16), number_at(&self.bytes, 20)]
    }

    /// What its checksum is when it follows one with that checksum.
    fn sum_after(&self, before: Sum, order: Order) -> Sum {
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

/// The frames of a log, one after the other, each compared with the one before.
struct Log {
    file: BufReader<File>,
    order: Order,
    header_is_right: bool,
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
struct Step {
    frame: Frame,
    /// SQLite takes it, if it took those before.
    continues: bool,
    /// A transaction ended with it, also where it is damaged itself.
    is_commit: bool,
    /// The page that it may be of, where its head does not say so.
    other_page: Option<Other>,
}

struct Other {
    page: u32,
    /// Nothing else can be what is wrong.
    is_sure: bool,
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
    fn open(path: &Path) -> io::Result<Option<Self>> {
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
        let header_is_right = number_at(&bytes, 0) == order.magic() && summed == stored;
        let salts = header_is_right.then(|| (number_at(&bytes, 16), number_at(&bytes, 20)));
        let (before, at) = ([stored; 2], HEADER as u64);
        Ok(Some(Self { file, order, header_is_right, salts, before, continued: header_is_right, at }))
    }

    fn step(&mut self, frame: Frame) -> Step {
        let fits = self.before.iter().any(|before| frame.sum_after(*before, self.order) == frame.stored());
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
        // left the first sector as it was long ago, they are those of another frame.
        let was_none = undone.is_some_and(|(_, pages)| pages == 0);
        self.continued && (!was_none || frame.is_one_bit_off(self.before[0], self.order))
    }

    /// Another page that a frame which does not fit may be of: that from which its own differs by one bit, where
    /// nothing else would be wrong.
    fn other_page(&self, frame: &Frame) -> Option<Other> {
        let (page, pages) = frame.undone(self.before[0], self.order)?;
        let may_be = pages == frame.pages() && (page ^ frame.page()).is_power_of_two();
        may_be.then(|| Other { page, is_sure: !frame.is_one_bit_off(self.before[0], self.order) })
    }
}

/// What a log is.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Where it is damaged, if commits that were acknowledged stand behind that.
    pub(crate) damage: Option<String>,
    /// Where the last commit ends that SQLite takes; nothing where there is no log with a header that is right. What
    /// stands behind that is of transactions that never were.
    pub(crate) end: Option<u64>,
}

/// Says where the log is damaged, if it is.
pub(crate) fn damage(path: &Path) -> io::Result<Option<String>> {
    Ok(look(path)?.damage)
}

/// Ends the log with its last commit. What stands behind that is of a transaction that never was, each frame continuing
/// from the one before; a next one that is written over the first of them, and cut by the power in its turn, may leave
/// the beginning of a commit in front of the rest, which could not be told from damage. The caller has begun a
/// transaction, so that nobody writes meanwhile.
pub(crate) fn end_with_last_commit(path: &Path, storage: &Storage) -> io::Result<()> {
    match look(path)? {
        Look { damage: None, end: Some(end) } => (storage.cut_off)(path, end),
        _ => Ok(()),
    }
}

/// Ends the log of a running journal with the last commit that SQLite counts, and says so. Where that does not read
/// back, the log is left as it is: the next commit stands behind it and shows a later start that it is damaged, not cut.
/// As above, the caller has begun a transaction.
pub(crate) fn end_with_counted(path: &Path, frames: u64, storage: &Storage) -> io::Result<bool> {
    let counted = HEADER as u64 + frames * FRAME as u64;
    let reads_back = frames == 0 || look(path)?.end.is_some_and(|end| end >= counted);
    if reads_back {
        (storage.cut_off)(path, counted)?;
    }
    Ok(reads_back)
}

/// Looks through the log.
pub(crate) fn look(path: &Path) -> io::Result<Look> {
    let Some(log) = Log::open(path)? else { return Ok(Look::default()) };
    let mut broken_at = (!log.header_is_right).then_some(0);
    let mut end = log.header_is_right.then_some(HEADER as u64);
    let mut follows_commit = false;
    for (number, step) in (1_u64..).zip(log) {
        let Step { continues, is_commit, .. } = step?;
        if let Some(broken_at) = broken_at {
            if continues && follows_commit {
                let place =
                    if broken_at == 0 { "its header".to_owned() } else { format!("frame {broken_at}") };
                let what = "is not what was written, and commits that were acknowledged stand behind it";
                return Ok(Look { damage: Some(format!("{place} {what}")), end });
            }
        } else if !continues {
            broken_at = Some(number);
        } else if is_commit {
            end = Some(HEADER as u64 + number * FRAME as u64);
        }
        follows_commit = is_commit;
    }
    Ok(Look { damage: None, end })
}

/// Puts the pages of a log into the file that it belongs to, both copies, as SQLite would, and, where the log is
/// damaged, also what was acknowledged behind that. A page in which a bit has flipped comes as it is.
pub(crate) fn apply(path: &Path, main: &Path) -> io::Result<()> {
    let goes_on = damage(path)?.is_some();
    let Some(log) = Log::open(path)? else { return Ok(()) };
    let file = File::options().read(true).write(true).create(true).truncate(false).open(main)?;
    let is_unbroken = log.header_is_right;
    let mut applied = Applied { file, waiting: Vec::new(), is_unbroken, is_proven_by_next: false };
    for step in log {
        let step = step?;
        if !step.continues && !goes_on {
            break;
        }
        applied.take(step)?;
    }
    Ok(())
}

/// Pages on their way from a log into the file.
struct Applied {
    file: File,
    /// Those since the last commit that went in.
    waiting: Vec<Step>,
    is_unbroken: bool,
    /// The last frame is a commit, and the transaction has a break: only one that continues shows that it was synced.
    is_proven_by_next: bool,
}

impl Applied {
    fn take(&mut self, step: Step) -> io::Result<()> {
        let Step { continues, is_commit, .. } = step;
        if std::mem::take(&mut self.is_proven_by_next) && continues {
            self.commit()?;
        }
        self.is_unbroken &= continues;
        self.waiting.push(step);
        match (is_commit, self.is_unbroken) {
            (true, true) => self.commit(),
            (true, false) => {
                self.is_proven_by_next = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn commit(&mut self) -> io::Result<()> {
        for Step { frame, other_page, .. } in std::mem::take(&mut self.waiting) {
            let page = match other_page {
                Some(Other { page, is_sure }) if is_sure || self.is_more_like(&frame, page)? => page,
                _ => frame.page(),
            };
            // A page number that no journal of ours reaches is a bit that has flipped.
            if (1..MOST_PAGES).contains(&page) {
                self.file.write_all_at(frame.body(), place_of(page))?;
            }
        }
        self.is_unbroken = true;
        Ok(())
    }

    /// Whether that page, as it was before, has more in common with the frame than the one that it says it is.
    fn is_more_like(&self, frame: &Frame, other: u32) -> io::Result<bool> {
        let alike = |page: u32| {
            let mut before = [0; PAGE];
            match self.file.read_exact_at(&mut before, place_of(page)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => read?,
            }
            Ok::<_, io::Error>(frame.body().iter().zip(before).filter(|(now, before)| *now == before).count())
        };
        Ok(alike(other)? > alike(frame.page())?)
    }
}

/// Where a page stands in the file.
fn place_of(page: u32) -> u64 {
    u64::from(page.saturating_sub(1)) * PAGE as u64
}

fn sum(before: Sum, bytes: &[u8], order: Order) -> Sum {
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

fn number_at(bytes: &[u8], offset: usize) -> u32 {
    let found = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use vodrelay_fault_vfs::flip_bit;

    use super::*;

    /// A database with a commit for its table and for each of its rows in its log, as a kill leaves it.
    fn killed(folder: &Path, rows: usize) {
        let conn = Connection::open(folder.join("live")).unwrap();
        conn.execute_batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (x INTEGER PRIMARY KEY);",
        )
        .unwrap();
        for _ in 0..rows {
            conn.execute("INSERT INTO t DEFAULT VALUES", []).unwrap();
        }
        for name in ["", "-wal"] {
            std::fs::copy(folder.join(format!("live{name}")), folder.join(format!("db{name}"))).unwrap();
        }
    }

    /// Flips a bit there and says whether that is found, and how many rows SQLite finds, and how many are applied.
    fn check(frame: usize, offset: usize, is_found: bool, rows: Option<i64>, applied: i64) {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path(), 5);
        let log = folder.path().join("db-wal");
        assert_eq!(damage(&log).unwrap(), None);
        flip_bit(&log, (HEADER + frame * FRAME + offset) as u64, 3).unwrap();
        let copy = folder.path().join("copy");
        std::fs::copy(folder.path().join("db"), &copy).unwrap();
        apply(&log, &copy).unwrap();
        assert_eq!(damage(&log).unwrap().is_some(), is_found, "frame {frame}, offset {offset}");
        let count = |path: &Path| {
            let conn = Connection::open(path).unwrap();
            conn.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).ok()
        };
        assert_eq!(count(&folder.path().join("db")), rows, "SQLite drops what stands behind");
        assert_eq!(count(&copy), Some(applied), "frame {frame}, offset {offset}");
    }

    #[test]
    fn damage_in_the_middle_is_told_from_a_cut_at_the_end() {
        // Frames 0 and 1 make the table, 2 to 6 have a row each; later ones write the page of earlier ones again.
        check(3, 100, true, Some(1), 5);
        check(3, 8, true, Some(1), 5);
        check(3, 17, true, Some(1), 5);
        check(0, 200, true, None, 5);
        check(5, 8, true, Some(3), 5);
        // The last commit may as well have been under way.
        check(6, 4_000, false, Some(4), 4);
    }

    /// Each bit of the header and of frames' heads, and in the body of the last frame those that a checksum carries
    /// least far.
    #[test]
    fn no_bit_in_what_was_acknowledged_hides_a_commit() {
        check_bits(5, 0, 4);
        // The last frame that was acknowledged begins in one sector and goes on in the next.
        check_bits(41, 40, 64);
    }

    /// Of bits from that frame on, and in the last body one byte in so many.
    fn check_bits(rows: usize, from: usize, one_in: usize) {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path(), rows);
        let log = folder.path().join("db-wal");
        let whole = std::fs::read(&log).unwrap();
        // The last commit has one frame.
        let acknowledged = whole.len() - FRAME;
        let is_head = |at: usize| at < HEADER || (at - HEADER) % FRAME < FRAME_HEADER;
        let is_last = |at: usize| at >= acknowledged - FRAME && at % one_in == 3;
        let asked = (0..acknowledged).filter(|at| *at < HEADER || *at >= HEADER + from * FRAME);
        let mut hidden = Vec::new();
        for at in asked.filter(|at| is_head(*at) || is_last(*at)) {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                std::fs::write(&log, bytes).unwrap();
                if damage(&log).unwrap().is_none() {
                    hidden.push((at, bit));
                }
            }
        }
        assert_eq!(hidden, [], "of a log of {} bytes with {acknowledged} acknowledged", whole.len());
    }

    #[test]
    fn a_checksum_can_be_undone() {
        let bytes: Vec<u8> = (0..=255).collect();
        for order in [Order::Little, Order::Big] {
            assert_eq!(undo_sum(sum([7, 9], &bytes, order), &bytes, order), [7, 9]);
        }
    }

    /// The last transaction was larger than the disk had room for.
    #[test]
    fn what_never_came_to_a_commit_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path(), 5);
        let log = folder.path().join("db-wal");
        let mut bytes = std::fs::read(&log).unwrap();
        let frames = (bytes.len() - HEADER) / FRAME;
        let start = |frame: usize| HEADER + frame * FRAME;
        // The last two commits become one transaction that lacks its end.
        for frame in [frames - 2, frames - 1] {
            bytes[start(frame) + 4..start(frame) + 8].fill(0);
            let mut before = Frame { bytes: bytes[start(frame - 1)..start(frame)].to_vec() }.stored();
            let order = Order::Little;
            before =
                Frame { bytes: bytes[start(frame)..start(frame) + FRAME].to_vec() }.sum_after(before, order);
            let stored = before.iter().flat_map(|word| word.to_be_bytes());
            bytes.splice(start(frame) + 16..start(frame) + 24, stored);
        }
        std::fs::write(&log, &bytes).unwrap();
        assert_eq!(damage(&log).unwrap(), None);
    }

    #[test]
    fn a_header_that_rots_is_found() {
        check_rows_in_spite_of(18, 0, "header");
        // It says the other order of bytes.
        check_rows_in_spite_of(3, 0, "header");
    }

    #[test]
    fn a_commit_is_one_though_it_says_that_it_is_none() {
        // The database has two pages: the word is a single bit.
        check_rows_in_spite_of(HEADER + 5 * FRAME + 7, 1, "frame 6");
    }

    /// Flips a bit there and says that it is found, and that all rows are in the file afterwards.
    fn check_rows_in_spite_of(offset: usize, bit: u8, place: &str) {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path(), 5);
        let log = folder.path().join("db-wal");
        flip_bit(&log, offset as u64, bit).unwrap();
        assert!(damage(&log).unwrap().unwrap().contains(place), "{offset}");
        let main = folder.path().join("db");
        apply(&log, &main).unwrap();
        std::fs::remove_file(&log).unwrap();
        let conn = Connection::open(&main).unwrap();
        let rows: i64 = conn.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 5, "{offset}");
    }
}
