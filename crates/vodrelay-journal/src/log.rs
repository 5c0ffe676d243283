//! Looking at the write-ahead log before SQLite does.
//!
//! SQLite ends a log at the first frame whose checksum is not right, since that is how a power cut leaves the end of
//! one. A bit that flips in the middle looks the same, and every commit behind it would be dropped without a word. But
//! each commit is synced before the next one begins. So where a frame continues from a commit that stands behind the
//! break, that commit had been acknowledged, and the log is damaged, not cut.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#walformat>. The very last commit has nothing behind it, but
//! the log's index says that it was synced. After a power cut the index may be older than the log; what cannot be told
//! from a cut then is damage of that commit, and in a few places of the one before, which docs/JOURNAL.md names.

mod apply;
mod frames;
mod index;
mod moved;

use std::io;
use std::path::Path;

use rusqlite::Connection;

pub(crate) use self::apply::{Lost, apply};
use self::frames::{FRAME, HEADER, Header, Log, Step};
use self::index::Index;
pub(crate) use self::moved::move_again;
use crate::open::INDEX;
use crate::storage::Storage;

/// What a log is.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Where it is damaged, if that was acknowledged.
    pub(crate) damage: Option<String>,
    /// Where the last commit ends that SQLite takes; nothing where there is no log with a header that is right. What
    /// stands behind that is of transactions that never were.
    pub(crate) end: Option<u64>,
}

/// Says where the log is damaged, if it is. Nobody in this process has the journal open: the index is read, and closing
/// that would end SQLite's locks on it. To open the journal with SQLite is to lose what the index says.
pub(crate) fn damage(path: &Path) -> io::Result<Option<String>> {
    // First, since the log may grow meanwhile.
    let index = Index::beside(path)?;
    Ok(look_by(path, index.as_ref())?.damage)
}

/// How far the log counts for SQLite, in frames.
pub(crate) fn frames_counted(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("PRAGMA wal_checkpoint = NOOP", [], |row| row.get(1))
}

/// Ends the log with the last commit that SQLite counts, and says so. Where that does not read back, the log is left as
/// it is: a next commit would stand behind it and show that it is damaged, not cut.
///
/// What stands behind it is of a transaction that never was, each frame continuing from the one before; a next one that
/// is written over the first of them, and cut by the power in its turn, may leave the beginning of a commit in front of
/// the rest, which could not be told from damage. The caller has begun a transaction, so that nobody writes meanwhile.
pub(crate) fn end_with_counted(path: &Path, frames: u64, storage: &Storage) -> io::Result<bool> {
    let (counted, end) = (HEADER as u64 + frames * FRAME as u64, look(path)?.end);
    let reads_back = frames == 0 || end.is_some_and(|end| end >= counted);
    // Where the log is to begin anew, its header may still be that of before, and all behind it in the file.
    let is_of_before = frames == 0 && end != Some(counted);
    if reads_back && !is_of_before {
        (storage.cut_off)(path, counted)?;
    }
    Ok(reads_back)
}

/// Looks through the log of a journal that may be open.
pub(crate) fn look(path: &Path) -> io::Result<Look> {
    look_by(path, None)
}

/// Looks through the log, up to its end or to where it is known to be damaged.
fn look_by(path: &Path, index: Option<&Index>) -> io::Result<Look> {
    let Some(log) = Log::open(path)? else {
        let lost = index.map_or(0, Index::synced_of_lost);
        let what = format!("it is gone, and by its index {lost} frames of it were acknowledged");
        let advice = format!(
            "put it back; where another journal was put in the place of the one that it was of, remove {INDEX}, too"
        );
        return Ok(Look { damage: (lost > 0).then(|| format!("{what}; {advice}")), end: None });
    };
    let synced = index.map_or(0, |index| u64::from(index.synced(log.known_by)));
    let header = log.header;
    let mut broken_at = (header != Header::Right).then_some(0);
    let mut look = Look { end: (header == Header::Right).then_some(HEADER as u64), ..Look::default() };
    let (mut frames, mut follows_commit) = (0, false);
    for step in log {
        let Step { continues, is_commit, .. } = step?;
        frames += 1;
        if let Some(broken_at) = broken_at {
            // No frame is written before the header is synced.
            if broken_at == 0 || continues && follows_commit {
                let place = place(broken_at);
                let what = "is not what was written, and commits that were acknowledged stand behind it";
                look.damage = Some(format!("{place} {what}"));
                return Ok(look);
            }
        } else if !continues {
            broken_at = Some(frames);
        } else if is_commit {
            look.end = Some(HEADER as u64 + frames * FRAME as u64);
        }
        follows_commit = is_commit;
    }
    let broken_at = broken_at.unwrap_or(frames + 1);
    if synced > 0 && broken_at <= synced {
        let (place, how) =
            (place(broken_at), if broken_at > frames { "missing" } else { "not what was written" });
        look.damage =
            Some(format!("{place} is {how}, and by the log's index it is of a commit that was acknowledged"));
    }
    Ok(look)
}

fn place(frame: u64) -> String {
    if frame == 0 { "its header".to_owned() } else { format!("frame {frame}") }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use vodrelay_fault_vfs::flip_bit;

    use super::frames::{FRAME_HEADER, Frame, Order};
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

    /// The power went before its header was synced.
    #[test]
    fn a_log_that_never_began_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("db-wal");
        for length in [0, HEADER - 1, HEADER, HEADER + FRAME - 1] {
            std::fs::write(&log, vec![0; length]).unwrap();
            assert_eq!(damage(&log).unwrap(), None, "{length} bytes");
        }
        // No frame is written before the header is synced.
        std::fs::write(&log, vec![0; HEADER + FRAME]).unwrap();
        assert!(damage(&log).unwrap().is_some());
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
