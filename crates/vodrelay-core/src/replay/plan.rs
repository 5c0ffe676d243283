//! Which orders a step comes to: decided from what is kept and from today's routes alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use vod_event::EventId;

use super::{How, Item, Outcome, Request};
use crate::envelope::Envelope;
use crate::ledger::{DeadLetter, DeliveryState, EventState, Kept, Redelivery, ReplayOrder};
use crate::name::SinkName;
use crate::routing::{Routed, Routes};

/// The orders so far, and what is told of them.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    request: &'a Request,
    routes: &'a Routes,
    orders: Vec<ReplayOrder>,
    outcome: Outcome,
}

impl<'a> Plan<'a> {
    pub(super) fn new(request: &'a Request, routes: &'a Routes) -> Self {
        Self { request, routes, orders: Vec::new(), outcome: Outcome::default() }
    }

    /// The orders, and what they come to if all of them can be carried out.
    pub(super) fn finish(mut self) -> (Vec<ReplayOrder>, Outcome) {
        for item in &self.outcome.items {
            let count = match item.how {
                How::Again => &mut self.outcome.done.again,
                How::Added => &mut self.outcome.done.added,
                How::Read => &mut self.outcome.done.read,
            };
            *count += 1;
        }
        (self.orders, self.outcome)
    }

    /// A delivery that was given up begins anew. An event that cannot be read needs its body: see [`Plan::event`].
    pub(super) fn letter(&mut self, letter: &DeadLetter) {
        let Some(sink) = &letter.sink else { return };
        self.outcome.looked_at += 1;
        if !self.routes.know(sink) {
            self.outcome.left.not_configured += 1;
            return;
        }
        let deliveries = vec![self.begin_anew(letter.event, sink, Some(DeliveryState::DeadLetter))];
        self.orders.push(ReplayOrder { event: letter.event, reading: None, deliveries });
    }

    /// What was given up begins anew, and what was delivered or purged, if that was asked for. Deliveries are added
    /// where no sink has the event, or to the sink that was named.
    pub(super) fn event(&mut self, kept: &Kept) {
        self.outcome.looked_at += 1;
        let envelope = &kept.envelope;
        let Envelope { body, source, labels, .. } = envelope;
        let routed = match self.routes.read_again(body, source, labels, &kept.other_sources) {
            Ok(routed) => routed,
            Err(_) if kept.deliveries.is_empty() => {
                self.outcome.left.unreadable += 1;
                return;
            }
            // It could be read when it came. What was decided then still goes.
            Err(_) => return self.route(kept, None, &[]),
        };
        let Routed { event, sinks, .. } = routed;
        if self.request.filter.event_type.as_ref().is_some_and(|wanted| *wanted != event.event_type) {
            self.outcome.looked_at -= 1;
            return;
        }
        let reading = (kept.state == EventState::Unreadable).then(|| Arc::new(event));
        self.route(kept, reading, &sinks);
    }

    fn route(&mut self, kept: &Kept, reading: Option<Arc<vod_event::Event>>, matching: &[SinkName]) {
        let event = kept.envelope.id;
        let is_named = |sink: &SinkName| self.request.filter.sink.as_ref().is_none_or(|named| named == sink);
        let has: BTreeSet<&SinkName> = kept.deliveries.iter().map(|(sink, _)| sink).collect();
        let adds = kept.state != EventState::Routed || self.request.filter.sink.is_some();
        let missing: Vec<&SinkName> =
            matching.iter().filter(|sink| adds && is_named(sink) && !has.contains(sink)).collect();
        let standing: Vec<&(SinkName, DeliveryState)> =
            kept.deliveries.iter().filter(|(sink, _)| is_named(sink)).collect();
        if missing.is_empty() && standing.is_empty() {
            self.outcome.left.unmatched += 1;
        }
        if reading.is_some() {
            self.outcome.items.push(Item { event, sink: None, how: How::Read });
        }
        let mut deliveries = Vec::new();
        for (sink, state) in standing {
            if self.goes_again(sink, *state) {
                deliveries.push(self.begin_anew(event, sink, Some(*state)));
            }
        }
        for sink in missing {
            deliveries.push(self.begin_anew(event, sink, None));
        }
        if reading.is_some() || !deliveries.is_empty() {
            self.orders.push(ReplayOrder { event, reading, deliveries });
        }
    }

    /// Whether a delivery that is there begins anew; counts it where not.
    fn goes_again(&mut self, sink: &SinkName, state: DeliveryState) -> bool {
        let left = &mut self.outcome.left;
        let count = match state {
            _ if state.is_pending() => &mut left.pending,
            _ if !self.routes.know(sink) => &mut left.not_configured,
            DeliveryState::Delivered if !self.request.all => &mut left.delivered,
            DeliveryState::Purged if !self.request.all => &mut left.purged,
            _ => return true,
        };
        *count += 1;
        false
    }

    fn begin_anew(&mut self, event: EventId, sink: &SinkName, from: Option<DeliveryState>) -> Redelivery {
        let how = if from.is_some() { How::Again } else { How::Added };
        self.outcome.items.push(Item { event, sink: Some(sink.clone()), how });
        Redelivery { sink: sink.clone(), from }
    }
}

#[cfg(test)]
mod tests {
    use super::super::What;
    use super::*;
    use crate::Clock;
    use crate::ledger::LetterFilter;
    use crate::routing::Filter;
    use crate::testing::{ManualClock, envelope_of, event_body};

    /// The sinks `all` and `other`, which take everything, and `fails`, which takes failures.
    fn routes() -> Routes {
        let failures = serde_json::from_str(r#"{"status": "fail"}"#).unwrap();
        Routes::new(vec![
            (name("all"), Filter::default()),
            (name("other"), Filter::default()),
            (name("fails"), failures),
        ])
    }

    fn name(text: &str) -> SinkName {
        SinkName::new(text).unwrap()
    }

    /// One event with deliveries that stand so, by the request; says what is done as `how sink`, and what is left.
    #[track_caller]
    fn check(
        request: &Request,
        body: &[u8],
        state: EventState,
        stands: &[(&str, DeliveryState)],
        expect: &str,
    ) {
        let now = ManualClock::default().now();
        let Envelope { id, source, received_at, labels, body, sha256, .. } =
            envelope_of(bytes::Bytes::copy_from_slice(body), now);
        let envelope = Envelope::restore(id, source, received_at, labels, body, sha256);
        let deliveries = stands.iter().map(|(sink, state)| (name(sink), *state)).collect();
        let routes = routes();
        let mut plan = Plan::new(request, &routes);
        plan.event(&Kept { place: 1, envelope, other_sources: Vec::new(), state, deliveries });
        let (orders, outcome) = plan.finish();
        let told: Vec<String> = outcome
            .items
            .iter()
            .map(|item| {
                let sink = item.sink.as_ref().map_or(String::new(), |sink| format!(" {sink}"));
                format!("{:?}{sink}", item.how)
            })
            .collect();
        let ordered: usize = orders.iter().map(|order| order.deliveries.len()).sum();
        assert_eq!(ordered, outcome.items.iter().filter(|item| item.sink.is_some()).count());
        let left = serde_json::to_value(outcome.left).unwrap();
        let left = left.as_object().unwrap().iter().filter(|(_, count)| **count != 0);
        let left: Vec<String> = left.map(|(what, count)| format!("{what} {count}")).collect();
        assert_eq!(format!("{} | {}", told.join(", "), left.join(", ")), expect);
    }

    #[test]
    fn what_was_given_up_goes_again_and_nothing_else_does() {
        use DeliveryState::{DeadLetter, Delivered, Fresh, Purged, Retry};
        let events = Request::new(What::Events);
        let body = event_body(1);
        let routed = EventState::Routed;
        check(&events, &body, routed, &[("all", DeadLetter), ("other", Retry)], "Again all | pending 1");
        check(&events, &body, routed, &[("all", Delivered), ("other", Purged)], " | delivered 1, purged 1");
        check(
            &events,
            &body,
            routed,
            &[("gone", DeadLetter), ("all", Fresh)],
            " | not_configured 1, pending 1",
        );
        let all = Request { all: true, ..events };
        check(&all, &body, routed, &[("all", Delivered), ("other", Purged)], "Again all, Again other | ");
        check(&all, &body, routed, &[("all", Fresh), ("other", Retry)], " | pending 2");
    }

    #[test]
    fn a_sink_that_is_named_gets_what_it_matches_and_does_not_have() {
        let to = |sink: &str| {
            let filter = LetterFilter { sink: Some(name(sink)), ..LetterFilter::default() };
            Request { filter, ..Request::new(What::Sink) }
        };
        let body = event_body(1);
        let (routed, has) = (EventState::Routed, [("all", DeliveryState::Delivered)]);
        check(&to("other"), &body, routed, &has, "Added other | ");
        check(&to("all"), &body, routed, &has, " | delivered 1");
        check(&to("fails"), &body, routed, &has, " | unmatched 1");
        check(&to("other"), &body, routed, &[("other", DeliveryState::DeadLetter)], "Again other | ");
    }

    #[test]
    fn what_no_sink_has_is_read_and_routed_again() {
        let body = event_body(1);
        check(&Request::new(What::Unrouted), &body, EventState::Unrouted, &[], "Added all, Added other | ");
        let unreadable = Request::new(What::Unreadable);
        check(&unreadable, &body, EventState::Unreadable, &[], "Read, Added all, Added other | ");
        check(&unreadable, b"[", EventState::Unreadable, &[], " | unreadable 1");
        let events = Request::new(What::Events);
        check(&events, &body, EventState::Unrouted, &[], "Added all, Added other | ");
        check(&events, &body, EventState::Routed, &[("all", DeliveryState::Delivered)], " | delivered 1");
    }
}
