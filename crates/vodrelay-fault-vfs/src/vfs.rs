//! The table of functions that SQLite calls for whole files: open, delete, look; all else goes to its own VFS.
#![expect(unsafe_code, reason = "SQLite calls a VFS through raw pointers")]

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::ffi;

use crate::disk::Disk;
use crate::fault::File;
use crate::handle;

static REGISTERED: AtomicU64 = AtomicU64::new(1);

/// What `pAppData` points to.
struct App {
    disk: Arc<Disk>,
    real: *mut ffi::sqlite3_vfs,
}

/// Registers a VFS over SQLite's own and returns its name.
pub(crate) fn register(disk: &Arc<Disk>) -> CString {
    let number = REGISTERED.fetch_add(1, Ordering::Relaxed);
    let name = CString::new(format!("vodrelay-faults-{number}")).unwrap_or_default();
    // SAFETY: `sqlite3_vfs_find` wants SQLite initialised, which `sqlite3_initialize` does, any number of times. The
    // VFS that it returns is a static of SQLite, so reading two numbers of it is sound. What is registered stays valid
    // for ever, since both boxes and the name are leaked: connections keep pointers to them for as long as they like.
    unsafe {
        ffi::sqlite3_initialize();
        let real = ffi::sqlite3_vfs_find(ptr::null());
        assert!(!real.is_null(), "SQLite has no VFS of its own");
        let app = Box::into_raw(Box::new(App { disk: Arc::clone(disk), real }));
        let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: handle::size_over((*real).szOsFile),
            mxPathname: (*real).mxPathname,
            pNext: ptr::null_mut(),
            zName: name.clone().into_raw(),
            pAppData: app.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        let registered = ffi::sqlite3_vfs_register(vfs, 0);
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite does not take the VFS");
    }
    name
}

/// The disk and the VFS below.
///
/// # Safety
/// `vfs` must be one that `register` made.
unsafe fn app<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a App {
    // SAFETY: `register` put a leaked box there, which nobody changes.
    unsafe { &*(*vfs).pAppData.cast::<App>() }
}

/// The name as a path.
///
/// # Safety
/// `name` must be a C string that lives for the call.
unsafe fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) };
    Path::new(OsStr::from_bytes(name.to_bytes())).to_owned()
}

fn kind_of(flags: c_int) -> File {
    if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        File::Main
    } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
        File::Log
    } else {
        File::Other
    }
}

/// SQLite promises of each function below: `vfs` is the one registered, names are C strings, out-pointers are valid.
unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: by SQLite's promise above; `file` has `szOsFile` bytes, of which `handle` uses the first and the real VFS
    // the rest. `pMethods` is null until all is well, so SQLite closes nothing that was not opened.
    unsafe {
        (*file).pMethods = ptr::null();
        let app = app(vfs);
        let path = (!name.is_null()).then(|| path_of(name));
        let life = app.disk.state().life();
        if !app.disk.state().is_alive(life) {
            return ffi::SQLITE_CANTOPEN;
        }
        let was_there = path.as_ref().is_some_and(|path| path.exists());
        let real = handle::real_of(file);
        (*real).pMethods = ptr::null();
        let Some(open) = (*app.real).xOpen else { return ffi::SQLITE_CANTOPEN };
        let opened = open(app.real, name, real, flags, out_flags);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        handle::start(file, Arc::clone(&app.disk), path, kind_of(flags), life, was_there)
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: by SQLite's promise above. The file is read beside SQLite only when it is about to go.
    unsafe {
        let app = app(vfs);
        let mut state = app.disk.state();
        if !state.is_alive(state.life()) {
            return ffi::SQLITE_IOERR_DELETE;
        }
        let path = path_of(name);
        let bytes = std::fs::read(&path).unwrap_or_default();
        let Some(delete) = (*app.real).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        let deleted = delete(app.real, name, sync_folder);
        if deleted == ffi::SQLITE_OK {
            state.deleted(&path, bytes, sync_folder != 0);
        }
        deleted
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xAccess.map_or(ffi::SQLITE_IOERR_ACCESS, |access| access(real, name, flags, found))
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xFullPathname.map_or(ffi::SQLITE_CANTOPEN, |full| full(real, name, room, out))
    }
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, bytes: c_int, out: *mut c_char) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xRandomness.map_or(0, |randomness| randomness(real, bytes, out))
    }
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xSleep.map_or(0, |sleep| sleep(real, microseconds))
    }
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xCurrentTime.map_or(ffi::SQLITE_ERROR, |time| time(real, out))
    }
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xCurrentTimeInt64.map_or(ffi::SQLITE_ERROR, |time| time(real, out))
    }
}

unsafe extern "C" fn last_error(vfs: *mut ffi::sqlite3_vfs, room: c_int, out: *mut c_char) -> c_int {
    // SAFETY: by SQLite's promise above.
    unsafe {
        let real = app(vfs).real;
        (*real).xGetLastError.map_or(0, |last| last(real, room, out))
    }
}
