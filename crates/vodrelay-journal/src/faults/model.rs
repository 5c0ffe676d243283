//! What was asked and what was acknowledged, and whether the file agrees.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rusqlite::Connection;

pub(super) const SINKS: [&str; 2] = ["a", "b"];

/// Where a delivery may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Absent,
    Pending,
    Delivered,
    Dead,
}

/// An event that was appended, perhaps.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) body: Bytes,
    pub(super) is_acknowledged: bool,
    /// The sinks of each time that it was appended, since it was last known for sure what is there.
    appends: Vec<Vec<&'static str>>,
    /// Everything of it may have been delivered when old events were last removed.
    may_go: bool,
    /// All that each delivery may be; one alone where it was acknowledged.
    pub(super) deliveries: BTreeMap<&'static str, BTreeSet<State>>,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) events: BTreeMap<[u8; 16], Event>,
    refusals: BTreeMap<String, bool>,
}

impl Model {
    pub(super) fn append_begins(&mut self, id: [u8; 16], body: &Bytes, sinks: &[&'static str]) {
        let new = || Event {
            body: body.clone(),
            is_acknowledged: false,
            appends: Vec::new(),
            may_go: false,
            deliveries: BTreeMap::new(),
        };
        let event = self.events.entry(id).or_insert_with(new);
        event.appends.push(sinks.to_vec());
        for sink in sinks {
            event.deliveries.entry(sink).or_insert_with(|| BTreeSet::from([State::Absent, State::Pending]));
        }
    }

    pub(super) fn append_ends(&mut self, id: [u8; 16], sinks: &[&'static str]) {
        let event = self.events.get_mut(&id).unwrap();
        event.is_acknowledged = true;
        for sink in sinks {
            event.deliveries.get_mut(sink).unwrap().remove(&State::Absent);
        }
    }

    /// An event that may be appended again: one with a dead letter, so that it stays whatever goes.
    pub(super) fn any(&self, number: usize) -> Option<Bytes> {
        let stays =
            |event: &&Event| event.deliveries.values().any(|states| *states == BTreeSet::from([State::Dead]));
        let staying: Vec<&Event> = self.events.values().filter(stays).collect();
        staying.get(number % staying.len().max(1)).map(|event| event.body.clone())
    }

    /// It was handed out, so it is there; returns what is wrong with it.
    pub(super) fn claimed(&mut self, id: [u8; 16], sink: &str, body: &[u8]) -> Option<String> {
        let Some(event) = self.events.get_mut(&id) else {
            return Some("an event nobody appended".to_owned());
        };
        if event.body != body {
            return Some("another body than was appended".to_owned());
        }
        let states = event.deliveries.get_mut(sink)?;
        states.remove(&State::Absent);
        let is_pending = states.contains(&State::Pending);
        (!is_pending).then(|| format!("a delivery that is {states:?} was handed out"))
    }

    pub(super) fn settle_begins(&mut self, id: [u8; 16], sink: &str, state: State) {
        self.events.get_mut(&id).unwrap().deliveries.get_mut(sink).unwrap().insert(state);
    }

    pub(super) fn settle_ends(&mut self, id: [u8; 16], sink: &str, state: State) {
        *self.events.get_mut(&id).unwrap().deliveries.get_mut(sink).unwrap() = BTreeSet::from([state]);
    }

    pub(super) fn refuse_begins(&mut self, detail: &str) {
        self.refusals.insert(detail.to_owned(), false);
    }

    pub(super) fn refuse_ends(&mut self, detail: &str) {
        self.refusals.insert(detail.to_owned(), true);
    }

    /// Old events are removed from now on: those all of whose deliveries may be delivered, or that have none.
    pub(super) fn removal_begins(&mut self) {
        for event in self.events.values_mut() {
            event.may_go |= event.may_be_done();
        }
    }

    /// Compares with the file, returns all that is wrong, and takes over what turned out to be.
    pub(super) fn compare(&mut self, conn: &Connection) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut found = read_events(conn);
        for (id, event) in &mut self.events {
            match found.remove(id) {
                Some(there) => event.compare(id, &there, &mut wrong),
                None if event.is_acknowledged && !event.may_go => {
                    wrong.push(format!("the acknowledged event {id:x?} is gone"));
                }
                None => event.deliveries.clear(),
            }
        }
        wrong.extend(found.keys().map(|id| format!("event {id:x?} was never appended")));
        self.events.retain(|_, event| event.is_acknowledged || !event.deliveries.is_empty());
        self.compare_refusals(conn, &mut wrong);
        wrong
    }

    fn compare_refusals(&mut self, conn: &Connection, wrong: &mut Vec<String>) {
        let found: BTreeSet<String> = conn
            .prepare("SELECT detail FROM refusals")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (detail, _) in self.refusals.iter().filter(|(detail, kept)| **kept && !found.contains(*detail)) {
            wrong.push(format!("the acknowledged refusal {detail} is gone"));
        }
        self.refusals = found.into_iter().map(|detail| (detail, true)).collect();
    }
}

struct There {
    body: Vec<u8>,
    deliveries: BTreeMap<String, State>,
}

impl Event {
    fn compare(&mut self, id: &[u8; 16], there: &There, wrong: &mut Vec<String>) {
        if self.body != there.body {
            wrong.push(format!("event {id:x?} has another body"));
        }
        if !self.is_whole(there) {
            let (asked, found) = (&self.appends, there.deliveries.keys());
            wrong.push(format!("event {id:x?} is there in part: of {asked:?} it has {found:?}"));
        }
        for (sink, states) in &mut self.deliveries {
            let state = there.deliveries.get(*sink).copied().unwrap_or(State::Absent);
            if !states.contains(&state) {
                wrong.push(format!(
                    "event {id:x?} for {sink} is {state:?}, and ought to be one of {states:?}"
                ));
            }
            *states = BTreeSet::from([state]);
        }
        self.deliveries.retain(|_, states| !states.contains(&State::Absent));
        self.is_acknowledged = true;
        self.appends = vec![self.deliveries.keys().copied().collect()];
    }

    /// Whether what is there is what some of the appends have brought, each of them whole.
    fn is_whole(&self, there: &There) -> bool {
        let is_there = |sinks: &&Vec<&str>| sinks.iter().all(|sink| there.deliveries.contains_key(*sink));
        let whole: Vec<_> = self.appends.iter().filter(is_there).collect();
        let brought = |sink: &String| whole.iter().any(|sinks| sinks.contains(&sink.as_str()));
        !whole.is_empty() && there.deliveries.keys().all(brought)
    }

    fn may_be_done(&self) -> bool {
        self.deliveries.values().all(|states| states.contains(&State::Delivered))
    }
}

fn read_events(conn: &Connection) -> BTreeMap<[u8; 16], There> {
    let mut found = BTreeMap::new();
    let mut statement = conn.prepare("SELECT seq, id, body FROM events").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let seq: i64 = row.get(0).unwrap();
        let deliveries = conn
            .prepare_cached(
                "SELECT s.name, d.state FROM deliveries AS d JOIN sinks AS s ON s.id = d.sink WHERE d.id >> 12 = ?1
                 AND d.id BETWEEN ?1 << 12 AND ?1 << 12 | 4095",
            )
            .unwrap()
            .query_map([seq], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .unwrap()
            .map(|row| {
                let (sink, state) = row.unwrap();
                let state = match state {
                    0 | 1 => State::Pending,
                    2 => State::Delivered,
                    _ => State::Dead,
                };
                (sink, state)
            })
            .collect();
        found.insert(row.get(1).unwrap(), There { body: row.get(2).unwrap(), deliveries });
    }
    found
}
