//! The disk: power cuts, failed syncs, no room, nothing to be written.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rustix::fs::FallocateFlags;
use tokio::time::sleep;

use crate::load::until;
use crate::relay::{DATA_DIR, DURABLE_DIR, Relay};
use crate::rig::Rig;
use crate::words::Word;

/// The journal's own code for "poisoned": the disk does not do what it says.
const POISONED: i32 = 74;
const EXIT_LIMIT: Duration = Duration::from_secs(10);
/// What a disk writes as a whole.
const SECTOR: usize = 512;
const PAGE: usize = 4096;
/// How much more is free than `min_free` while the disk is not filled.
const MARGIN: u64 = 1 << 30;

pub(super) async fn sync_error(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let before = rig.relay.control.told(Word::SyncsFailed)?;
    rig.relay.control.tell(Word::SyncError, libc::EIO as u64)?;
    let ended = rig.relay.until_ended(EXIT_LIMIT).await?;
    rig.relay.control.tell(Word::SyncError, 0)?;
    let status = ended.ok_or("a relay whose syncs fail goes on")?;
    if status.code() != Some(POISONED) {
        return Err(format!("after a failed sync the relay ended with {status}: {}", rig.relay.last_words()));
    }
    let failed = rig.relay.control.told(Word::SyncsFailed)? - before;
    rig.relay.start()?;
    match failed {
        0 => Ok(0),
        1 => Ok(in_flight),
        _ => Err(format!("a sync that failed was tried again: {failed} failed")),
    }
}

pub(super) async fn no_room(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let before = rig.relay.control.told(Word::WritesFailed)?;
    rig.relay.control.tell(Word::WriteError, libc::ENOSPC as u64)?;
    sleep(rig.while_of(200, 1_500)).await;
    rig.relay.control.tell(Word::WriteError, 0)?;
    let failed = rig.relay.control.told(Word::WritesFailed)? - before;
    if let Some(status) = rig.relay.ended()? {
        return Err(format!("without room the relay ended with {status}: {}", rig.relay.last_words()));
    }
    Ok(if failed > 0 { in_flight } else { 0 })
}

/// `min_free` is close to what is free, and a file takes that away.
pub(super) async fn little_room(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let (path, before) = (rig.relay.folder.join("filler"), rig.load.unavailable());
    let fill = || {
        let file = fs::File::create(&path)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 2 * MARGIN)?;
        Ok(())
    };
    fill().map_err(|error: std::io::Error| format!("cannot fill the disk: {error}"))?;
    let struck = until("that callbacks are turned away", || Ok(rig.load.unavailable() > before)).await;
    fs::remove_file(&path).map_err(|error| format!("cannot free the disk: {error}"))?;
    struck?;
    Ok(in_flight)
}

/// A `min_free` that only the filler brings about, and nothing else that writes to the disk.
pub(super) fn almost_all_that_is_free(folder: &Path) -> Result<u64, String> {
    let free = vodrelay_journal::free_bytes(folder).map_err(|error| error.to_string())?;
    free.checked_sub(MARGIN).filter(|least| *least > MARGIN).ok_or_else(|| "the disk is too full".to_owned())
}

pub(super) async fn read_only(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let before = rig.relay.control.told(Word::WritesFailed)?;
    for word in [Word::WriteError, Word::OpenError] {
        rig.relay.control.tell(word, libc::EROFS as u64)?;
    }
    // A supervisor starts it again and again meanwhile.
    for _ in 0..5 {
        sleep(rig.while_of(100, 300)).await;
        if rig.relay.ended()?.is_some() {
            rig.relay.start()?;
        }
    }
    let failed = rig.relay.control.told(Word::WritesFailed)? - before;
    for word in [Word::WriteError, Word::OpenError] {
        rig.relay.control.tell(word, 0)?;
    }
    sleep(Duration::from_millis(300)).await;
    if rig.relay.ended()?.is_some() {
        rig.relay.start_until_it_stays().await?;
    }
    Ok(if failed > 0 { in_flight } else { 0 })
}

/// The process and what the kernel holds are gone together; what the disk has is there for the next one.
pub(super) async fn power_cut(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    rig.relay.kill_9().await?;
    take_back(&rig.relay, &mut rig.dice).map_err(|error| format!("cannot cut the power: {error}"))?;
    keep_copies(&rig.relay)?;
    rig.relay.start()?;
    let (relay, load) = (&mut rig.relay, &rig.load);
    let accepted = load.accepted();
    let comes_up = || match relay.ended()? {
        None => Ok(load.accepted() > accepted),
        Some(status) => {
            let words = relay.last_words();
            Err(format!("after a power cut the relay does not come up, it ended with {status}: {words}"))
        }
    };
    until("that callbacks are accepted after a power cut", comes_up).await?;
    Ok(in_flight)
}

/// What stands now counts as being on the disk.
fn keep_copies(relay: &Relay) -> Result<(), String> {
    let copy = || {
        let (data, durable) = (relay.folder.join(DATA_DIR), relay.folder.join(DURABLE_DIR));
        fs::remove_dir_all(&durable)?;
        fs::create_dir(&durable)?;
        for entry in fs::read_dir(&data)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), durable.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error: std::io::Error| format!("cannot copy what is on the disk: {error}"))
}

/// Makes of each file what the disk may have: of every page that was written since the last sync the old one, the new
/// one, or some sectors of each.
fn take_back(relay: &Relay, dice: &mut StdRng) -> std::io::Result<()> {
    for entry in fs::read_dir(relay.folder.join(DATA_DIR))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_owned();
        if name.as_encoded_bytes().ends_with(b"-shm") {
            fs::remove_file(&path)?;
            continue;
        }
        if path.is_file() {
            take_back_of(&path, &relay.folder.join(DURABLE_DIR).join(name), dice)?;
        }
    }
    Ok(())
}

fn take_back_of(path: &Path, durable: &Path, dice: &mut StdRng) -> std::io::Result<()> {
    let new = fs::read(path)?;
    // A file that was never synced may be there with nothing in it.
    let old = fs::read(durable).unwrap_or_default();
    let length =
        if new.len() == old.len() { new.len() } else { if dice.random() { old.len() } else { new.len() } };
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(length as u64)?;
    for place in (0..length).step_by(PAGE) {
        let page = |bytes: &[u8]| {
            let mut page = bytes.get(place..(place + PAGE).min(bytes.len())).unwrap_or_default().to_vec();
            page.resize((length - place).min(PAGE), 0);
            page
        };
        let (was, is) = (page(&old), page(&new));
        if was != is {
            file.write_all_at(&torn(&was, &is, dice), place as u64)?;
        }
    }
    Ok(())
}

fn torn(was: &[u8], is: &[u8], dice: &mut StdRng) -> Vec<u8> {
    match dice.random_range(0..4) {
        0 | 1 => was.to_vec(),
        2 => is.to_vec(),
        _ => {
            let sectors = was.chunks(SECTOR).zip(is.chunks(SECTOR));
            sectors.flat_map(|(was, is)| if dice.random() { was } else { is }.to_vec()).collect()
        }
    }
}
