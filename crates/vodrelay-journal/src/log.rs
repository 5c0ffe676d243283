//! Looking at the write-ahead log before SQLite does.
//!
//! SQLite ends a log at the first frame whose checksum is not right, since that is how a power cut leaves the end of
//! one. A bit that flips in the middle looks the same, and every commit behind it would be dropped without a word. But
//! each commit is synced before the next one begins. So where a frame continues from a commit that stands behind the
//! break, that commit had been acknowledged, and the log is damaged, not cut.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#walformat>. What cannot be told from a cut is damage of
//! the very last commit.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0x377f_0682;
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Every journal has it, from its first page on.
const PAGE: usize = 4_096;
const FRAME: usize = FRAME_HEADER + PAGE;

/// A running checksum.
type Sum = [u32; 2];

/// How the numbers that are summed up are stored.
#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

/// A frame as it stands.
struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    fn is_commit(&self) -> bool {
        number_at(&self.bytes, 4) != 0
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
        sum(head, self.bytes.get(FRAME_HEADER..).unwrap_or_default(), order)
    }
}

/// The frames of a log, one after the other.
struct Frames {
    file: BufReader<File>,
}

impl Iterator for Frames {
    type Item = io::Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = vec![0; FRAME];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Some(Ok(Frame { bytes })),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// What stands at the beginning.
struct Head {
    order: Order,
    salts: (u32, u32),
    stored: Sum,
    is_right: bool,
}

fn open(path: &Path) -> io::Result<Option<(Head, Frames)>> {
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
    let magic = number_at(&bytes, 0);
    let order = if magic == MAGIC | 1 { Order::Big } else { Order::Little };
    let stored = [number_at(&bytes, 24), number_at(&bytes, 28)];
    let is_right = magic & !1 == MAGIC && sum([0, 0], bytes.get(..24).unwrap_or_default(), order) == stored;
    let salts = (number_at(&bytes, 16), number_at(&bytes, 20));
    Ok(Some((Head { order, salts, stored, is_right }, Frames { file })))
}

/// Says where the log is damaged, if commits that were acknowledged stand behind that.
pub(crate) fn damage(path: &Path) -> io::Result<Option<String>> {
    let Some((head, frames)) = open(path)? else { return Ok(None) };
    let mut broken_at = (!head.is_right).then_some(0);
    let mut salts = head.salts;
    // The checksums that a frame may follow: as stored, and as they ought to be stored.
    let mut before = [head.stored; 2];
    let mut follows_commit = false;
    for (number, frame) in (1_u64..).zip(frames) {
        let frame = frame?;
        if broken_at == Some(0) && number == 1 {
            // The header does not say whose frames these are; they say it themselves.
            salts = frame.salts();
        }
        let continues = frame.salts() == salts
            && before.iter().any(|before| frame.sum_after(*before, head.order) == frame.stored());
        if let Some(broken_at) = broken_at {
            if continues && follows_commit {
                let place =
                    if broken_at == 0 { "its header".to_owned() } else { format!("frame {broken_at}") };
                return Ok(Some(format!(
                    "{place} is not what was written, and commits that were acknowledged stand behind it"
                )));
            }
        } else if !continues {
            broken_at = Some(number);
        }
        follows_commit = frame.salts() == salts && frame.is_commit();
        before = [frame.stored(), frame.sum_after(before[0], head.order)];
    }
    Ok(None)
}

/// Makes a copy of a log read as far as its last commit, damage and all: each checksum is made anew. Which page a bit
/// has flipped in is for the one to find out who reads the file then.
pub(crate) fn mend(path: &Path) -> io::Result<()> {
    let Some((head, frames)) = open(path)? else { return Ok(()) };
    let mut found: Vec<(u32, u32)> = Vec::new();
    for frame in frames {
        found.push(frame?.salts());
    }
    // A damaged header is made anew for the salts that most frames have, and the damaged salts of a frame with it.
    let salts = if head.is_right { head.salts } else { most_frequent(&found).unwrap_or(head.salts) };
    let count = found.iter().rposition(|found| *found == salts).map_or(0, |last| last + 1);
    let file = File::options().read(true).write(true).open(path)?;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    put(&mut header, 0, MAGIC | u32::from(matches!(head.order, Order::Big)));
    put(&mut header, 4, 3_007_000);
    put(&mut header, 8, u32::try_from(PAGE).unwrap_or(0));
    put(&mut header, 16, salts.0);
    put(&mut header, 20, salts.1);
    let mut before = sum([0, 0], header.get(..24).unwrap_or_default(), head.order);
    put(&mut header, 24, before[0]);
    put(&mut header, 28, before[1]);
    file.write_all_at(&header, 0)?;
    for number in 0..count {
        let offset = (HEADER + number * FRAME) as u64;
        let mut frame = Frame { bytes: vec![0; FRAME] };
        file.read_exact_at(&mut frame.bytes, offset)?;
        put(&mut frame.bytes, 8, salts.0);
        put(&mut frame.bytes, 12, salts.1);
        before = frame.sum_after(before, head.order);
        put(&mut frame.bytes, 16, before[0]);
        put(&mut frame.bytes, 20, before[1]);
        file.write_all_at(frame.bytes.get(..FRAME_HEADER).unwrap_or_default(), offset)?;
    }
    Ok(())
}

fn most_frequent(salts: &[(u32, u32)]) -> Option<(u32, u32)> {
    salts.iter().max_by_key(|one| salts.iter().filter(|other| other == one).count()).copied()
}

fn sum(before: Sum, bytes: &[u8], order: Order) -> Sum {
    let word = |bytes: [u8; 4]| match order {
        Order::Little => u32::from_le_bytes(bytes),
        Order::Big => u32::from_be_bytes(bytes),
    };
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs.iter().fold(before, |[first, second], [a, b, c, d, e, f, g, h]| {
        let first = first.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(second);
        [first, second.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(first)]
    })
}

fn number_at(bytes: &[u8], offset: usize) -> u32 {
    let found = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(found.unwrap_or_default())
}

fn put(bytes: &mut [u8], offset: usize, number: u32) {
    if let Some(place) = bytes.get_mut(offset..offset + 4) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use vodrelay_fault_vfs::flip_bit;

    use super::*;

    /// A database with six commits in its log, as a kill leaves it.
    fn killed(folder: &Path) {
        let conn = Connection::open(folder.join("live")).unwrap();
        conn.execute_batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (x INTEGER PRIMARY KEY);",
        )
        .unwrap();
        for _ in 0..5 {
            conn.execute("INSERT INTO t DEFAULT VALUES", []).unwrap();
        }
        for name in ["", "-wal"] {
            std::fs::copy(folder.join(format!("live{name}")), folder.join(format!("db{name}"))).unwrap();
        }
    }

    /// Flips a bit there and says whether that is found, and how many rows there are then, and when it is mended.
    fn check(frame: usize, offset: usize, is_found: bool, rows: Option<i64>, mended: i64) {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path());
        let log = folder.path().join("db-wal");
        assert_eq!(damage(&log).unwrap(), None);
        flip_bit(&log, (HEADER + frame * FRAME + offset) as u64, 3).unwrap();
        let copy = folder.path().join("copy");
        std::fs::copy(folder.path().join("db"), &copy).unwrap();
        std::fs::copy(&log, folder.path().join("copy-wal")).unwrap();
        assert_eq!(damage(&log).unwrap().is_some(), is_found, "frame {frame}, offset {offset}");
        let count = |path: &Path| {
            let conn = Connection::open(path).unwrap();
            conn.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).ok()
        };
        assert_eq!(count(&folder.path().join("db")), rows, "SQLite drops what stands behind");
        mend(&folder.path().join("copy-wal")).unwrap();
        assert_eq!(count(&copy), Some(mended), "frame {frame}, offset {offset}");
    }

    #[test]
    fn damage_in_the_middle_is_told_from_a_cut_at_the_end() {
        // Frames 0 and 1 make the table, 2 to 6 have a row each; later ones write the page of earlier ones again.
        check(3, 100, true, Some(1), 5);
        check(3, 8, true, Some(1), 5);
        check(3, 17, true, Some(1), 5);
        check(0, 200, true, None, 5);
        // The last commit may as well have been under way.
        check(6, 4_000, false, Some(4), 5);
    }

    #[test]
    fn a_header_that_rots_is_found() {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path());
        let log = folder.path().join("db-wal");
        flip_bit(&log, 18, 0).unwrap();
        assert!(damage(&log).unwrap().unwrap().contains("header"));
        mend(&log).unwrap();
        let conn = Connection::open(folder.path().join("db")).unwrap();
        let rows: i64 = conn.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 5);
    }
}
