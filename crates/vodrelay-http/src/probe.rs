//! An operator's probe: judged as any callback, answered as any callback, and no event. Nothing of it is kept, neither as
//! an event nor as a refusal.

use vodrelay_core::probe::{HEADER, Sighting};

use crate::answer::Answer;
use crate::proof::{Judged, Standing, Unproven};
use crate::receive::{Ended, Visit};
use crate::receiver::{Callback, Receiver};

impl Receiver {
    /// The answer to a probe; nothing where it is a callback: without a nonce that is open, or with a body.
    pub(crate) fn probe(
        &self,
        callback: &Callback,
        visit: &Visit,
        judged: &Result<Judged<'_>, Unproven>,
    ) -> Option<Ended> {
        let nonce = visit.headers.get(HEADER)?.as_bytes();
        if visit.length != Some(0) || !self.probes.is_open(nonce) {
            return None;
        }
        let outcome = match judged {
            Ok(Judged { standing: Standing::Proven, .. }) => "proven",
            Ok(Judged { standing: Standing::Admitted | Standing::Unjudged, .. }) => "unsigned",
            Err(unproven) => unproven.cause.as_str(),
        };
        let (source, address) = (callback.source.clone(), visit.sender.to_string());
        let sighting = Sighting { at: visit.received_at, source, address, outcome };
        tracing::debug!(callback.name = %callback.name, http.sender = %visit.sender, outcome, "a probe has come");
        if judged.is_err() {
            self.probes.note(nonce, sighting);
            return Some(Ended::after_reading(Answer::Unproven));
        }
        // Where two come at once, one of them is a callback.
        self.probes.take(nonce, sighting).then(|| Ended::after_reading(Answer::Probe))
    }
}
