//! How the program ends: one error type that carries the exit code, after `sysexits.h`.

use std::fmt;

/// What went wrong, in words for a person, and the code that scripts see.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// The exit codes, as `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Usage = 64,
    Unreadable = 65,
    Unreachable = 69,
    Internal = 70,
    CannotCreate = 73,
    Poisoned = 74,
    JournalHeld = 75,
    Permission = 77,
    Configuration = 78,
    Interrupted = 130,
}

/// The table at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes: 0 done, 64 usage, 65 unreadable or mismatch, 69 unreachable or port in use, 70 internal,
73 cannot create, 74 journal poisoned, 75 journal held by another process, 77 permission, 78 configuration,
130 ended by Ctrl-C before it was done";

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error of the file system, with the code that fits it.
pub(crate) fn io_failure(what: &str, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Code::Permission,
        _ => Code::CannotCreate,
    };
    Failure::new(code, format!("{what}: {error}"))
}
