//! What a power cut came to.

/// What was not durable when the power went, for a test that wants to know whether there was anything to lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Pages that are not what was written last.
    pub pages: usize,
    /// Files that are gone, since no sync had told their folder.
    pub files_gone: usize,
    /// Files that are back, since no sync had told their folder that they went.
    pub files_back: usize,
}
