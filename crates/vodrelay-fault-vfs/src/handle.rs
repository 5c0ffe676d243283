//! The table of functions that SQLite calls for an open file. Each asks the disk first, then SQLite's own VFS.
#![expect(unsafe_code, reason = "SQLite calls a file's methods through raw pointers")]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;

use rusqlite::ffi;

use crate::disk::{Disk, State, Verdict};
use crate::fault::{File, Operation};

/// What stands where SQLite expects its file; the real VFS's own file follows it.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    about: *mut About,
}

/// What we know of it.
struct About {
    disk: Arc<Disk>,
    /// Nothing for a temporary file, which does not outlive the process.
    path: Option<PathBuf>,
    kind: File,
    life: u64,
}

/// A file of SQLite's own VFS.
type Real = *mut ffi::sqlite3_file;

/// How much room a file of ours takes, given that of a real one.
pub(crate) fn size_over(real: c_int) -> c_int {
    c_int::try_from(size_of::<Handle>()).unwrap_or(0) + real
}

/// The real file behind ours.
///
/// # Safety
/// `file` must have the room that `size_over` says.
pub(crate) unsafe fn real_of(file: *mut ffi::sqlite3_file) -> Real {
    // SAFETY: by the caller's promise this stays inside the allocation; a `Handle` is two pointers, so what follows it
    // is aligned for pointers too, as SQLite's own file wants it.
    unsafe { file.cast::<Handle>().add(1).cast() }
}

/// Makes our file out of one whose real part is open.
///
/// # Safety
/// As for `real_of`, and the real part must be open.
pub(crate) unsafe fn start(
    file: *mut ffi::sqlite3_file,
    disk: Arc<Disk>,
    path: Option<PathBuf>,
    kind: File,
    life: u64,
    was_there: bool,
) -> c_int {
    // SAFETY: by the caller's promise; `about` is freed by `close`, which SQLite calls once.
    unsafe {
        if let Some(path) = &path {
            let length = size_of_real(real_of(file)).unwrap_or(0);
            disk.state().opened(path, length, was_there);
        }
        (*file.cast::<Handle>()).about = Box::into_raw(Box::new(About { disk, path, kind, life }));
        (*file).pMethods = &raw const METHODS;
    }
    ffi::SQLITE_OK
}

/// Version 2: shared memory, and no mapping of the file, which would write past us.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// What we know of the file.
///
/// # Safety
/// `file` must be one that `start` made and `close` has not seen.
unsafe fn about<'a>(file: *mut ffi::sqlite3_file) -> &'a About {
    // SAFETY: `start` put a box there, and nobody changes it before `close`.
    unsafe { &*(*file.cast::<Handle>()).about }
}

/// Calls a method of the real file; one that its VFS does not have answers with an I/O error.
macro_rules! real {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = real_of($file);
        match (*(*real).pMethods).$method {
            Some(method) => method(real $(, $argument)*),
            None => ffi::SQLITE_IOERR,
        }
    }};
}

/// # Safety
/// `real` must be an open file of the real VFS.
unsafe fn size_of_real(real: Real) -> Result<u64, i32> {
    let mut size = 0;
    // SAFETY: by the caller's promise.
    let code =
        unsafe { (*(*real).pMethods).xFileSize.map_or(ffi::SQLITE_IOERR, |ask| ask(real, &raw mut size)) };
    if code == ffi::SQLITE_OK { Ok(u64::try_from(size).unwrap_or(0)) } else { Err(code) }
}

/// # Safety
/// `real` must be an open file of the real VFS.
unsafe fn read_real(real: Real, offset: u64, bytes: &mut [u8]) -> Result<(), i32> {
    let (length, offset) = (c_int::try_from(bytes.len()).unwrap_or(0), i64::try_from(offset).unwrap_or(0));
    // SAFETY: by the caller's promise; the buffer is as long as is said.
    let code = unsafe {
        let read = (*(*real).pMethods).xRead;
        read.map_or(ffi::SQLITE_IOERR, |read| read(real, bytes.as_mut_ptr().cast(), length, offset))
    };
    // A read past the end fills up with zeros, which is what stands there.
    if matches!(code, ffi::SQLITE_OK | ffi::SQLITE_IOERR_SHORT_READ) { Ok(()) } else { Err(code) }
}

/// Changes the file and remembers what stood there before and what stands there then.
///
/// # Safety
/// `file` must be one that `start` made.
unsafe fn change(
    file: *mut ffi::sqlite3_file,
    state: &mut State,
    range: Range<u64>,
    change: impl FnOnce() -> c_int,
) -> c_int {
    // SAFETY: by the caller's promise the real file is open.
    let (real, path) = unsafe { (real_of(file), about(file).path.as_deref()) };
    let Some(path) = path else { return change() };
    // SAFETY: as above.
    let read = |offset: u64, bytes: &mut [u8]| unsafe { read_real(real, offset, bytes) };
    // A write past the end fills the gap with zeros; a truncation changes all up to the end.
    let range = range.start.min(state.length(path))..range.end.max(range.start);
    if let Err(code) = state.before(path, range.clone(), &read) {
        return code;
    }
    let code = change();
    // SAFETY: as above.
    let noted = unsafe { size_of_real(real) }.and_then(|length| state.after(path, range, length, &read));
    if code == ffi::SQLITE_OK { noted.err().unwrap_or(code) } else { code }
}

/// SQLite promises of each function below: `file` is one that `xOpen` made, buffers are as long as is said.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: by SQLite's promise above, and nothing is called for the file afterwards.
    unsafe {
        let code = real!(file, xClose);
        drop(Box::from_raw((*file.cast::<Handle>()).about));
        (*file).pMethods = ptr::null();
        code
    }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let about = about(file);
        match about.disk.state().judge(about.life, Operation::Read, about.kind) {
            Verdict::Fails(code) | Verdict::Half(code) => code,
            Verdict::Goes | Verdict::GoesLast => real!(file, xRead, buffer, length, offset),
        }
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let about = about(file);
        let mut state = about.disk.state();
        let (length, then) = match state.judge(about.life, Operation::Write, about.kind) {
            Verdict::Fails(code) => return code,
            Verdict::Half(code) => (length / 2, code),
            Verdict::GoesLast => (length, ffi::SQLITE_IOERR),
            Verdict::Goes => (length, ffi::SQLITE_OK),
        };
        let start = u64::try_from(offset).unwrap_or(0);
        let range = start..start + u64::try_from(length).unwrap_or(0);
        let written = change(file, &mut state, range, || real!(file, xWrite, buffer, length, offset));
        if written == ffi::SQLITE_OK { then } else { written }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let about = about(file);
        let mut state = about.disk.state();
        let then = match state.judge(about.life, Operation::Truncate, about.kind) {
            Verdict::Fails(code) | Verdict::Half(code) => return code,
            Verdict::GoesLast => ffi::SQLITE_IOERR,
            Verdict::Goes => ffi::SQLITE_OK,
        };
        let end = about.path.as_deref().map_or(0, |path| state.length(path));
        let range = u64::try_from(size).unwrap_or(0)..end;
        let truncated = change(file, &mut state, range, || real!(file, xTruncate, size));
        if truncated == ffi::SQLITE_OK { then } else { truncated }
    }
}

/// The kernel is not asked: what is durable is for this disk to say, and tests are quick without it.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: by SQLite's promise above.
    let about = unsafe { about(file) };
    let mut state = about.disk.state();
    let Some(path) = about.path.as_deref() else { return ffi::SQLITE_OK };
    match state.judge(about.life, Operation::Sync, about.kind) {
        Verdict::Fails(code) | Verdict::Half(code) => {
            state.sync_failed(path);
            code
        }
        Verdict::Goes | Verdict::GoesLast => {
            state.synced(path, about.kind);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let about = about(file);
        match about.disk.state().judge(about.life, Operation::MapIndex, about.kind) {
            Verdict::Fails(code) | Verdict::Half(code) => code,
            Verdict::Goes | Verdict::GoesLast => real!(file, xShmMap, page, size, extend, out),
        }
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xFileSize, size) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, found: *mut c_int) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xCheckReservedLock, found) }
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: by SQLite's promise above; the argument means to the real file what it means to SQLite.
    unsafe { real!(file, xFileControl, what, argument) }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xDeviceCharacteristics) }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xShmLock, first, count, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = real_of(file);
        if let Some(barrier) = (*(*real).pMethods).xShmBarrier {
            barrier(real);
        }
    }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe { real!(file, xShmUnmap, delete) }
}
