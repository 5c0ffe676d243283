//! What the harness and the library in the relay's process tell each other: one word each in a file that both see.

/// The environment's variable with the path of that file.
pub(crate) const CONTROL: &str = "TORTURE_CONTROL";
/// The one with the folder whose files fail.
pub(crate) const DATA: &str = "TORTURE_DATA";
/// The one with the folder that has what a power cut would leave of them.
pub(crate) const DURABLE: &str = "TORTURE_DURABLE";

/// How many words there may be.
pub(crate) const WORDS: usize = 64;

/// The place of each word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Word {
    /// By how many nanoseconds the wall clock is off; signed.
    ClockOffset,
    /// Not 0: no name is found.
    NamesFail,
    /// The error of every write, 0 for none.
    WriteError,
    /// The error of every opening for writing, 0 for none.
    OpenError,
    /// The error of every sync, 0 for none.
    SyncError,
    /// How many names were not found.
    NamesFailed,
    /// How many writes and openings failed.
    WritesFailed,
    /// How many syncs failed.
    SyncsFailed,
    /// How many syncs there were.
    Syncs,
}
