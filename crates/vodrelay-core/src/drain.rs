//! Being drained: somebody wants the relay to take nothing more in where that costs no event, and to finish what it has.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the relay is drained. Cloning it is cheap, and a clone is the same. It is over with the process.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<bool>>);

impl Drain {
    /// Begins or ends it; says whether that is new.
    #[must_use]
    pub fn set(&self, on: bool) -> bool {
        self.0.send_if_modified(|is_on| std::mem::replace(is_on, on) != on)
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Sees each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}
