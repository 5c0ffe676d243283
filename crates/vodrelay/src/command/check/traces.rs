//! What `check` finds about where spans go. Nothing is sent here.

use super::{Finding, Verdict, finding};
use crate::config::Loaded;

pub(super) fn traces(loaded: &Loaded) -> Option<Finding> {
    match loaded.config.traces.resolve(&loaded.surroundings) {
        Ok(None) => None,
        Ok(Some(settings)) => Some(finding("traces", Verdict::Ok, settings.summary())),
        Err(error) => Some(finding("traces", Verdict::Wrong, error.to_string())),
    }
}
