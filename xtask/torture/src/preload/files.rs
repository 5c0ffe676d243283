//! Files below the folder that fails: each opening, write, truncation, sync and removal goes through here.
//!
//! Which descriptors lead there is known from their opening. What goes well is asked of the kernel itself.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_char, c_int, c_long, c_void, iovec, mode_t, off64_t, size_t, ssize_t};

use crate::durable;
use crate::ground::{Ground, fail, ground};
use crate::words::Word;

/// A relay has fewer descriptors.
const MOST: usize = 1 << 16;
static MEANT: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];

fn mark(file: c_int, is_meant: bool) {
    if let Some(mark) = usize::try_from(file).ok().and_then(|file| MEANT.get(file)) {
        mark.store(is_meant, Ordering::Relaxed);
    }
}

/// What it stands on, where that descriptor leads to one of the files that fail.
fn meant(file: c_int) -> Option<&'static Ground> {
    let is_meant = MEANT.get(usize::try_from(file).ok()?)?.load(Ordering::Relaxed);
    if is_meant { ground() } else { None }
}

/// # Safety
/// As `openat(2)`.
unsafe fn open_at(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: a path ends with a zero.
    let name = unsafe { CStr::from_ptr(path) }.to_bytes();
    let ground = ground().filter(|ground| ground.is_meant(name));
    let writes = flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) != 0;
    if let Some(ground) = ground
        && writes
        && let Some(error) = ground.error(Word::OpenError, Word::WritesFailed)
    {
        return fail(error);
    }
    // SAFETY: what we were given is handed on.
    let file = unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, c_long::from(mode)) } as c_int;
    mark(file, ground.is_some());
    if ground.is_some() {
        durable::opened(file, name);
    }
    file
}

/// `open(2)`. The mode is there where a caller gives one, and of no meaning where none is asked for.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
}

/// `open64(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { open_at(libc::AT_FDCWD, path, flags | libc::O_LARGEFILE, mode) }
}

/// `openat64(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { open_at(folder, path, flags | libc::O_LARGEFILE, mode) }
}

/// `close(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn close(file: c_int) -> c_int {
    mark(file, false);
    // SAFETY: as the caller promises.
    unsafe { libc::syscall(libc::SYS_close, file) as c_int }
}

/// A write at a place, by whatever call; the place is asked for where the file's own counts.
fn write_with(file: c_int, place: Option<off64_t>, write: impl FnOnce() -> ssize_t) -> ssize_t {
    let Some(ground) = meant(file) else { return write() };
    if let Some(error) = ground.error(Word::WriteError, Word::WritesFailed) {
        return fail(error) as ssize_t;
    }
    // SAFETY: asking for the place changes nothing.
    let place = place.unwrap_or_else(|| unsafe { libc::syscall(libc::SYS_lseek, file, 0, libc::SEEK_CUR) });
    let written = write();
    if let (Ok(length), Ok(place)) = (usize::try_from(written), u64::try_from(place)) {
        durable::written(file, place, length);
    }
    written
}

/// `write(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(file: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: as the caller promises.
    write_with(file, None, || unsafe { libc::syscall(libc::SYS_write, file, bytes, length) as ssize_t })
}

/// `writev(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(file: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as the caller promises.
    write_with(file, None, || unsafe { libc::syscall(libc::SYS_writev, file, parts, count) as ssize_t })
}

/// `pwrite64(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite64(
    file: c_int,
    bytes: *const c_void,
    length: size_t,
    place: off64_t,
) -> ssize_t {
    // SAFETY: as the caller promises.
    let write = || unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes, length, place) as ssize_t };
    write_with(file, Some(place), write)
}

/// `ftruncate64(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    if let Some(error) = meant(file).and_then(|ground| ground.error(Word::WriteError, Word::WritesFailed)) {
        return fail(error);
    }
    // SAFETY: as the caller promises.
    unsafe { libc::syscall(libc::SYS_ftruncate, file, length) as c_int }
}

fn sync_with(file: c_int, call: c_long) -> c_int {
    // SAFETY: a sync of any descriptor is harmless.
    let sync = || unsafe { libc::syscall(call, file) as c_int };
    let Some(ground) = meant(file) else { return sync() };
    ground.count(Word::Syncs);
    if let Some(error) = ground.error(Word::SyncError, Word::SyncsFailed) {
        return fail(error);
    }
    let unsynced = durable::unsynced(file);
    let answer = sync();
    if answer == 0 {
        durable::synced(file, unsynced);
    }
    answer
}

/// `fsync(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fsync(file: c_int) -> c_int {
    sync_with(file, libc::SYS_fsync)
}

/// `fdatasync(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    sync_with(file, libc::SYS_fdatasync)
}

/// `unlink(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: a path ends with a zero.
    let name = unsafe { CStr::from_ptr(path) }.to_bytes();
    let ground = ground().filter(|ground| ground.is_meant(name));
    if let Some(error) = ground.and_then(|ground| ground.error(Word::OpenError, Word::WritesFailed)) {
        return fail(error);
    }
    // SAFETY: as the caller promises.
    let answer = unsafe { libc::syscall(libc::SYS_unlink, path) as c_int };
    if answer == 0 && ground.is_some() {
        durable::removed(name);
    }
    answer
}
