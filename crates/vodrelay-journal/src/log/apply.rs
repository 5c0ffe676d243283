//! The pages of a log on their way into the file that it belongs to, for a salvage.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::{Frame, Log, MOST_PAGES, Other, PAGE, Step};
use super::index::Index;
use super::look_by;

/// What is lost of a log.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Frames that are not what was written: their pages may be wrong, or have come into the place of others.
    pub(crate) damaged: Vec<u64>,
    /// How many are missing at the end of the log.
    pub(crate) missing: u64,
    /// How many at the end of the log are left out: a commit of which nothing says that it was acknowledged, damaged.
    pub(crate) unproven: usize,
}

/// Puts the pages of a log into the file that it belongs to, both copies, as SQLite would, and, where the log is
/// damaged, also what was acknowledged there and behind that. A page in which a bit has flipped comes as it is.
pub(crate) fn apply(path: &Path, main: &Path) -> io::Result<Lost> {
    let index = Index::beside(path)?;
    let goes_on = look_by(path, index.as_ref())?.damage.is_some();
    let Some(log) = Log::open(path)? else {
        let missing = index.map_or(0, |index| u64::from(index.synced_of_lost()));
        return Ok(Lost { missing, ..Lost::default() });
    };
    let synced = index.map_or(0, |index| u64::from(index.synced(log.known_by)));
    let file = File::options().read(true).write(true).create(true).truncate(false).open(main)?;
    let (waiting, lost) = (Vec::new(), Lost { missing: synced, ..Lost::default() });
    let mut applied = Applied { file, synced, waiting, lost, is_unbroken: true, is_proven_by_next: false };
    for (number, step) in (1..).zip(log) {
        let step = step?;
        if !step.continues && !goes_on {
            break;
        }
        applied.take(number, step)?;
    }
    applied.lost.unproven = if applied.is_proven_by_next { applied.waiting.len() } else { 0 };
    Ok(applied.lost)
}

/// Pages on their way from a log into the file.
struct Applied {
    file: File,
    /// So many frames were acknowledged, as the index says, the last of them with a commit.
    synced: u64,
    /// Those since the last commit that went in, with their numbers.
    waiting: Vec<(u64, Step)>,
    lost: Lost,
    is_unbroken: bool,
    /// The last frame is a commit, and the transaction has a break: only one that continues shows that it was synced.
    is_proven_by_next: bool,
}

impl Applied {
    fn take(&mut self, number: u64, step: Step) -> io::Result<()> {
        let Step { continues, is_commit, .. } = step;
        if std::mem::take(&mut self.is_proven_by_next) && continues {
            self.commit()?;
        }
        self.is_unbroken &= continues;
        self.lost.missing = self.synced.saturating_sub(number);
        self.waiting.push((number, step));
        match (is_commit, self.is_unbroken) {
            _ if number == self.synced => self.commit(),
            (true, true) => self.commit(),
            (true, false) => {
                self.is_proven_by_next = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn commit(&mut self) -> io::Result<()> {
        for (number, Step { frame, other_page, continues, .. }) in std::mem::take(&mut self.waiting) {
            self.lost.damaged.extend((!continues).then_some(number));
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
