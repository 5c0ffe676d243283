//! What the harness has told, and where the files are that fail.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_long};

use crate::words::{CONTROL, DATA, DURABLE, WORDS, Word};

/// What this process stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    words: &'static [AtomicU64; WORDS],
    data: Vec<u8>,
    pub(crate) durable: Option<PathBuf>,
}

/// Nothing where the harness has not told of its file, as in a shell that only starts the relay.
pub(crate) fn ground() -> Option<&'static Ground> {
    static GROUND: OnceLock<Option<Ground>> = OnceLock::new();
    GROUND.get_or_init(Ground::find).as_ref()
}

impl Ground {
    fn find() -> Option<Self> {
        let control = CString::new(variable(CONTROL)?).ok()?;
        let data = variable(DATA)?;
        let durable = variable(DURABLE).map(|path| PathBuf::from(OsStr::from_bytes(&path)));
        // SAFETY: the path ends with a zero. What is mapped is as long as the words, and stays until the process ends;
        // the harness has made the file that long, and both sides touch it by whole words.
        let words = unsafe {
            let file = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, control.as_ptr(), libc::O_RDWR, 0);
            let file = c_int::try_from(file).ok().filter(|file| *file >= 0)?;
            let (read_write, length) = (libc::PROT_READ | libc::PROT_WRITE, WORDS * size_of::<u64>());
            let mapped = libc::mmap(std::ptr::null_mut(), length, read_write, libc::MAP_SHARED, file, 0);
            libc::syscall(libc::SYS_close, c_long::from(file));
            (mapped != libc::MAP_FAILED).then(|| &*mapped.cast::<[AtomicU64; WORDS]>())?
        };
        Some(Self { words, data, durable })
    }

    #[expect(clippy::indexing_slicing, reason = "there is room for every word")]
    fn word(&self, word: Word) -> &AtomicU64 {
        &self.words[word as usize]
    }

    pub(crate) fn told(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, word: Word) {
        self.word(word).fetch_add(1, Ordering::Relaxed);
    }

    /// The error that the harness wants there, counted as one more.
    pub(crate) fn error(&self, word: Word, counted: Word) -> Option<c_int> {
        let error = c_int::try_from(self.told(word)).ok().filter(|error| *error != 0)?;
        self.count(counted);
        Some(error)
    }

    /// Whether a path leads to one of the files that fail.
    pub(crate) fn is_meant(&self, path: &[u8]) -> bool {
        path.strip_prefix(&*self.data).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

/// A variable of the environment, without the standard library's lock: this runs before `main` does.
fn variable(name: &str) -> Option<Vec<u8>> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a zero, and so does what comes back, which nobody changes this early.
    let value = unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))?
    };
    Some(value.to_bytes().to_vec())
}

/// What a function of C answers when it fails.
pub(crate) fn fail(error: c_int) -> c_int {
    // SAFETY: it is this thread's own.
    unsafe { *libc::__errno_location() = error };
    -1
}
