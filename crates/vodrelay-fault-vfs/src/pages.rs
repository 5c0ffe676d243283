//! What of one file no sync has made durable: for each page the bytes that a power cut may bring back.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use crate::dice::Dice;

/// The kernel's unit: what is dirty, and what a failed sync leaves behind.
pub(crate) const PAGE: u64 = 4_096;
/// The disk's unit: written whole or not at all.
const SECTOR: usize = 512;
/// Of a page that is written again and again the first and the last few versions do.
const MOST_VERSIONS: usize = 6;

/// Reads from a file at an offset, up to its end.
pub(crate) type Read<'a> = dyn Fn(u64, &mut [u8]) -> Result<(), i32> + 'a;

/// One file.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pages: BTreeMap<u64, Page>,
    /// Its length at the last sync, the shortest since, and the present one.
    synced: u64,
    shortest: u64,
    length: u64,
    /// Whether the folder would still know it.
    pub(crate) is_in_folder: bool,
}

#[derive(Debug, Default)]
struct Page {
    /// The durable bytes first; each is as long as the page was.
    versions: Vec<Vec<u8>>,
    /// Left behind by a sync that failed: no later sync writes it, unless it is written to again.
    stranded: bool,
}

impl Unsynced {
    pub(crate) const fn new(length: u64, is_in_folder: bool) -> Self {
        Self { pages: BTreeMap::new(), synced: length, shortest: length, length, is_in_folder }
    }

    /// Remembers what stands there before it is changed.
    pub(crate) fn before(&mut self, range: Range<u64>, read: &Read<'_>) -> Result<(), i32> {
        for number in pages_of(&range) {
            if !self.pages.contains_key(&number) {
                let bytes = read_page(number, self.length, read)?;
                self.pages.insert(number, Page { versions: vec![bytes], stranded: false });
            }
        }
        Ok(())
    }

    /// Remembers what stands there now.
    pub(crate) fn after(&mut self, range: Range<u64>, length: u64, read: &Read<'_>) -> Result<(), i32> {
        self.length = length;
        self.shortest = self.shortest.min(length);
        for number in pages_of(&range) {
            let bytes = read_page(number, length, read)?;
            let page = self.pages.entry(number).or_default();
            page.stranded = false;
            if page.versions.len() == MOST_VERSIONS {
                page.versions.remove(1);
            }
            page.versions.push(bytes);
        }
        Ok(())
    }

    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// What was written is durable now, but for what an earlier sync left behind.
    pub(crate) fn synced(&mut self) {
        self.pages.retain(|_, page| page.stranded);
        (self.synced, self.shortest) = (self.length, self.length);
    }

    /// The sync failed: what was written may be on the disk or not, and counts as clean.
    pub(crate) fn stranded(&mut self) {
        self.pages.values_mut().for_each(|page| page.stranded = true);
    }

    /// Each page was written to again, and a sync took it.
    pub(crate) fn written_anew(&mut self) {
        *self = Self::new(self.length, self.is_in_folder);
    }

    /// The pages that begin there were written to, and a sync took them.
    pub(crate) fn pages_written(&mut self, places: impl IntoIterator<Item = u64>) {
        for place in places {
            self.pages.remove(&(place / PAGE));
            self.length = self.length.max(place + PAGE);
        }
        self.synced();
    }

    /// The file was ended there, and a sync took that.
    pub(crate) fn cut_off(&mut self, end: u64) {
        self.length = end;
        self.pages.retain(|number, _| number * PAGE < end);
        self.synced();
    }

    /// Puts down what the disk has kept; returns how many pages are not what they were.
    pub(crate) fn cut(&self, file: &std::fs::File, dice: &mut Dice) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let mut changed = 0;
        for (number, page) in &self.pages {
            let mut bytes = page.after_cut(dice);
            changed += usize::from(page.versions.last().is_none_or(|last| *last != bytes));
            // Where a file has grown and the page was never written, the disk has zeros.
            bytes.resize(usize::try_from(PAGE).unwrap_or(0), 0);
            file.write_all_at(&bytes, number * PAGE)?;
        }
        file.set_len(self.length_after_cut(dice))?;
        Ok(changed)
    }

    fn length_after_cut(&self, dice: &mut Dice) -> u64 {
        let longest = self.synced.max(self.length);
        match dice.below(4) {
            0 => self.synced,
            1 => self.length,
            2 => self.shortest,
            _ => self.shortest + dice.below(longest - self.shortest + 1),
        }
    }
}

impl Page {
    /// The old bytes, the new ones, or some sectors of each.
    fn after_cut(&self, dice: &mut Dice) -> Vec<u8> {
        let (first, last) = (self.versions.first(), self.versions.last());
        let whole = match dice.below(3) {
            0 => first,
            1 => last,
            _ => None,
        };
        if let Some(whole) = whole {
            return whole.clone();
        }
        let length = self.versions.iter().map(Vec::len).max().unwrap_or(0);
        let mut torn = vec![0; length];
        for (number, sector) in torn.chunks_mut(SECTOR).enumerate() {
            let Some(version) = self.versions.get(dice.pick(self.versions.len())) else { continue };
            let kept = version.chunks(SECTOR).nth(number).unwrap_or_default();
            sector.iter_mut().zip(kept).for_each(|(byte, kept)| *byte = *kept);
        }
        torn
    }
}

fn pages_of(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE..range.end.div_ceil(PAGE)
}

fn read_page(number: u64, length: u64, read: &Read<'_>) -> Result<Vec<u8>, i32> {
    let here = length.saturating_sub(number * PAGE).min(PAGE);
    let mut bytes = vec![0; usize::try_from(here).unwrap_or(0)];
    if !bytes.is_empty() {
        read(number * PAGE, &mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_of(byte: u8) -> impl Fn(u64, &mut [u8]) -> Result<(), i32> {
        move |_, bytes| {
            bytes.fill(byte);
            Ok(())
        }
    }

    /// A file of one page is overwritten, then synced as told; which first bytes may a cut leave?
    fn after_cuts(sync: impl Fn(&mut Unsynced)) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let found = (0..64).map(|seed| {
            let mut file = Unsynced::new(PAGE, true);
            file.before(0..8, &full_of(b'a')).unwrap();
            file.after(0..8, PAGE, &full_of(b'b')).unwrap();
            sync(&mut file);
            std::fs::write(&path, [b'b'; 4_096]).unwrap();
            let open = std::fs::File::options().write(true).open(&path).unwrap();
            file.cut(&open, &mut Dice::new(seed)).unwrap();
            std::fs::read(&path).unwrap()[0]
        });
        let mut found: Vec<u8> = found.collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn only_a_sync_keeps() {
        assert_eq!(after_cuts(|_| {}), b"ab");
        assert_eq!(after_cuts(Unsynced::synced), b"b");
    }

    #[test]
    fn what_a_failed_sync_left_behind_needs_more_than_a_sync() {
        assert_eq!(
            after_cuts(|file| {
                file.stranded();
                file.synced();
            }),
            b"ab"
        );
        assert_eq!(
            after_cuts(|file| {
                file.stranded();
                file.written_anew();
            }),
            b"b"
        );
    }
}
