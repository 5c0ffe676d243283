//! What is in hand: leases live in memory, so that a claim is a read.
//!
//! The claiming thread grants leases; the writer checks them when outcomes are settled, and ends them after the commit.
//! Their moments are those of the steady clock, so no clock that is set ends a lease early or makes it last.

use std::collections::{HashMap, HashSet};

use crate::key::Key;

/// The leases of all sinks.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    desks: HashMap<i64, Desk>,
    last: u64,
}

/// What one sink has in hand, and how far it has read.
#[derive(Debug, Default)]
struct Desk {
    held: HashMap<Key, Lease>,
    /// Each fresh delivery up to here is held or not fresh any more.
    read_to: i64,
    /// How often `read_to` was moved back; tells a claim that was reading meanwhile.
    moved_back: u64,
    /// Whether a retry is next where both wait.
    retry_is_next: bool,
    /// Whether `held` differs from what the last commit wrote down.
    changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    number: u64,
    until: i64,
}

/// What a claim needs to know before it reads.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) held: HashSet<Key>,
    pub(crate) read_to: i64,
    pub(crate) retry_is_next: bool,
    pub(crate) first_lease_end: Option<i64>,
    moved_back: u64,
}

impl Leases {
    /// Numbers leases from a count of the journal's openings on, so that a token of an earlier life is never mistaken.
    pub(crate) fn starting_at(opening: i64) -> Self {
        Self { desks: HashMap::new(), last: opening.unsigned_abs() << 40 }
    }

    /// Ends what has run out, then says what the sink has in hand.
    pub(crate) fn view(&mut self, sink: i64, now: i64) -> View {
        let desk = self.desks.entry(sink).or_default();
        let over: Vec<Key> =
            desk.held.iter().filter(|(_, lease)| now >= lease.until).map(|(key, _)| *key).collect();
        over.into_iter().for_each(|key| desk.end(key));
        View {
            held: desk.held.keys().copied().collect(),
            read_to: desk.read_to,
            retry_is_next: desk.retry_is_next,
            first_lease_end: desk.held.values().map(|lease| lease.until).min(),
            moved_back: desk.moved_back,
        }
    }

    /// Hands out leases on those deliveries; `read_to` counts unless it was moved back since the view.
    pub(crate) fn grant(
        &mut self,
        sink: i64,
        keys: &[Key],
        until: i64,
        seen: &View,
        read_to: i64,
    ) -> Vec<u64> {
        let desk = self.desks.entry(sink).or_default();
        if desk.moved_back == seen.moved_back {
            desk.read_to = desk.read_to.max(read_to);
        }
        desk.changed |= !keys.is_empty();
        let mut numbers = Vec::with_capacity(keys.len());
        for key in keys {
            self.last += 1;
            desk.held.insert(*key, Lease { number: self.last, until });
            numbers.push(self.last);
        }
        numbers
    }

    /// Whose turn it is at the next claim.
    pub(crate) fn take_turns(&mut self, sink: i64, retry_is_next: bool) {
        self.desks.entry(sink).or_default().retry_is_next = retry_is_next;
    }

    /// Whether that lease still runs.
    pub(crate) fn runs(&self, key: Key, number: u64, now: i64) -> bool {
        let lease = self.desks.get(&key.sink()).and_then(|desk| desk.held.get(&key));
        lease.is_some_and(|lease| lease.number == number && now < lease.until)
    }

    /// Whether somebody has it in hand.
    pub(crate) fn holds(&self, key: Key, now: i64) -> bool {
        let lease = self.desks.get(&key.sink()).and_then(|desk| desk.held.get(&key));
        lease.is_some_and(|lease| now < lease.until)
    }

    /// Ends the lease on a delivery that was settled or given back in a commit, which wrote that down already.
    pub(crate) fn end_settled(&mut self, key: Key) {
        if let Some(desk) = self.desks.get_mut(&key.sink()) {
            desk.held.remove(&key);
        }
    }

    /// Takes back a lease that was granted and cannot be handed out.
    pub(crate) fn revoke(&mut self, key: Key) {
        if let Some(desk) = self.desks.get_mut(&key.sink()) {
            desk.end(key);
        }
    }

    /// A fresh delivery appeared before what was read: look again from there.
    pub(crate) fn look_again_from(&mut self, key: Key) {
        self.desks.entry(key.sink()).or_default().move_back(key);
    }

    /// The sets that changed since they were last taken, without what is being settled, by sink.
    pub(crate) fn take_changed(&mut self, settling: &HashSet<Key>) -> Vec<(i64, Vec<i64>)> {
        let changed = self.desks.iter_mut().filter(|(_, desk)| {
            desk.changed || (!settling.is_empty() && desk.held.keys().any(|key| settling.contains(key)))
        });
        changed
            .map(|(sink, desk)| {
                desk.changed = false;
                let mut keys: Vec<i64> =
                    desk.held.keys().filter(|key| !settling.contains(key)).map(|key| key.0).collect();
                keys.sort_unstable();
                (*sink, keys)
            })
            .collect()
    }

    /// The sets could not be written down after all.
    pub(crate) fn mark_changed(&mut self) {
        self.desks.values_mut().for_each(|desk| desk.changed = true);
    }
}

impl Desk {
    fn end(&mut self, key: Key) {
        if self.held.remove(&key).is_some() {
            self.changed = true;
            // It may be fresh again; if it is not, looking there costs one step in an index.
            self.move_back(key);
        }
    }

    fn move_back(&mut self, key: Key) {
        self.moved_back += 1;
        self.read_to = self.read_to.min(key.0 - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new(5, 1);

    fn granted(leases: &mut Leases) -> u64 {
        let view = leases.view(1, 0);
        leases.grant(1, &[KEY], 100, &view, KEY.0)[0]
    }

    #[test]
    fn a_lease_runs_until_its_end() {
        let mut leases = Leases::starting_at(1);
        let number = granted(&mut leases);
        assert!(leases.runs(KEY, number, 99));
        assert!(!leases.runs(KEY, number, 100));
        assert!(!leases.runs(KEY, number + 1, 99));
        assert_eq!(leases.view(1, 99).held.len(), 1);
        assert_eq!(leases.view(1, 100).held.len(), 0);
        assert_eq!(leases.view(1, 100).read_to, KEY.0 - 1);
    }

    #[test]
    fn a_claim_that_read_meanwhile_does_not_skip() {
        let mut leases = Leases::starting_at(1);
        let view = leases.view(1, 0);
        leases.look_again_from(Key::new(2, 1));
        leases.grant(1, &[KEY], 100, &view, KEY.0);
        assert!(leases.view(1, 1).read_to < Key::new(2, 1).0);
    }

    #[test]
    fn what_is_being_settled_is_not_in_hand() {
        let mut leases = Leases::starting_at(1);
        granted(&mut leases);
        assert_eq!(leases.take_changed(&HashSet::new()), [(1, vec![KEY.0])]);
        assert_eq!(leases.take_changed(&HashSet::new()), []);
        assert_eq!(leases.take_changed(&HashSet::from([KEY])), [(1, vec![])]);
    }
}
