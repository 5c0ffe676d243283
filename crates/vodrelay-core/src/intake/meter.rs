//! The figures of the intake. Their handles are looked up once.

use metrics::{Counter, counter};

use crate::refusal::RefusalCause;

/// The handles.
pub(super) struct Meter {
    unrouted: Counter,
    unreadable: Counter,
    /// By cause, those that are kept and those that are not.
    refusals: [(Counter, Counter); RefusalCause::ALL.len()],
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// Looks the handles up in the recorder that is installed by now.
    pub(super) fn new() -> Self {
        let refusals = |cause: RefusalCause, kept: &'static str| counter!("vodrelay_refusals_total", "cause" => cause.as_str(), "kept" => kept);
        Self {
            unrouted: counter!("vodrelay_events_unrouted_total"),
            unreadable: counter!("vodrelay_events_unreadable_total"),
            refusals: RefusalCause::ALL.map(|cause| (refusals(cause, "yes"), refusals(cause, "no"))),
        }
    }

    /// Counts what was not there before.
    pub(super) fn accepted(&self, is_readable: bool, is_routed: bool) {
        if !is_readable {
            self.unreadable.increment(1);
        } else if !is_routed {
            self.unrouted.increment(1);
        }
    }

    /// Counts a refusal that was handed over.
    pub(super) fn refused(&self, cause: RefusalCause, is_kept: bool) {
        let position = RefusalCause::ALL.iter().position(|other| *other == cause);
        if let Some((kept, lost)) = position.and_then(|position| self.refusals.get(position)) {
            let counter = if is_kept { kept } else { lost };
            counter.increment(1);
        }
    }
}
