//! The promise, against a model: whatever is appended, claimed, settled, delayed, replayed, purged, crashed and
//! reopened in whatever order, each accepted event is delivered or stands in the dead letters until it is purged from
//! them, no settled one comes back unless it is replayed, nothing pending is ever touched, and the counters are true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use vodrelay_core::ledger::{DeliveryState, Redelivery, ReplayOrder};
use vodrelay_core::{Appended, Claim, Clock, Ledger, Outcome, SettleResult};

use crate::bench::{Bench, LEASE, sink};

const SINKS: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
enum Step {
    Append {
        number: usize,
        sinks: usize,
    },
    Claim {
        sink: usize,
        limit: usize,
    },
    Settle {
        which: usize,
        how: How,
    },
    /// Gives up all that is due, so that there is something to replay and to purge.
    BuryDue {
        sink: usize,
    },
    Wait(u64),
    Replay {
        number: usize,
        sink: usize,
        from: Option<DeliveryState>,
    },
    /// Looks at the dead letters, for what is replayed or purged later.
    List,
    ReplayListed {
        which: usize,
    },
    Purge {
        which: usize,
    },
    Crash,
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Deliver,
    Retry(u64),
    Bury,
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        3 => Just(How::Deliver),
        3 => (0..90_u64).prop_map(How::Retry),
        2 => Just(How::Bury),
        2 => Just(How::Release),
    ];
    let from = prop_oneof![
        Just(None),
        Just(Some(DeliveryState::Fresh)),
        Just(Some(DeliveryState::Retry)),
        Just(Some(DeliveryState::Delivered)),
        Just(Some(DeliveryState::DeadLetter)),
        Just(Some(DeliveryState::Purged)),
    ];
    prop_oneof![
        6 => (0..8_usize, 0..4_usize).prop_map(|(number, sinks)| Step::Append { number, sinks }),
        6 => (0..2_usize, 0..4_usize).prop_map(|(sink, limit)| Step::Claim { sink, limit }),
        6 => (any::<usize>(), how).prop_map(|(which, how)| Step::Settle { which, how }),
        2 => (0..90_u64).prop_map(Step::Wait),
        2 => (0..2_usize).prop_map(|sink| Step::BuryDue { sink }),
        3 => (0..8_usize, 0..2_usize, from).prop_map(|(number, sink, from)| Step::Replay { number, sink, from }),
        3 => any::<usize>().prop_map(|which| Step::ReplayListed { which }),
        3 => Just(Step::List),
        3 => any::<usize>().prop_map(|which| Step::Purge { which }),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Fresh,
    Retry(i64),
    Delivered,
    Dead,
    Purged,
}

/// What the journal ought to know.
#[derive(Default)]
struct Model {
    events: BTreeSet<usize>,
    deliveries: BTreeMap<(usize, usize), State>,
    /// Claims handed out, with their sink, number and end; the journal forgets those of an earlier life.
    claims: Vec<Handed>,
    /// Dead letters that were seen at some time, by their place.
    listed: Vec<(u64, (usize, usize))>,
    careful_until: i64,
    crashes: usize,
}

struct Handed {
    claim: Claim,
    of: (usize, usize),
    until: i64,
    in_force: bool,
}

impl Model {
    fn append(&mut self, number: usize, sinks: usize) -> Appended {
        for sink in (0..SINKS.len()).filter(|sink| sinks & (1 << sink) != 0) {
            self.deliveries.entry((sink, number)).or_insert(State::Fresh);
        }
        if self.events.insert(number) { Appended::New } else { Appended::Duplicate }
    }

    fn in_hand(&self, of: (usize, usize), now: i64) -> bool {
        self.claims.iter().any(|handed| handed.of == of && handed.in_force && handed.until > now)
    }

    /// What a claim without a limit would hand out.
    fn due(&self, sink: usize, now: i64) -> BTreeSet<usize> {
        let due = |state: &State| match state {
            State::Fresh => true,
            State::Retry(at) => *at <= now,
            State::Delivered | State::Dead | State::Purged => false,
        };
        let of_sink = self.deliveries.iter().filter(|((of, _), state)| *of == sink && due(state));
        of_sink.filter(|(of, _)| !self.in_hand(**of, now)).map(|((_, number), _)| *number).collect()
    }

    fn settle(&mut self, which: usize, how: How, now: i64) -> SettleResult {
        let handed = &self.claims[which];
        let (of, runs) = (handed.of, handed.in_force && handed.until > now);
        let state = self.deliveries.get_mut(&of).unwrap();
        if matches!(state, State::Delivered | State::Dead | State::Purged) {
            return SettleResult::Unknown;
        }
        if !runs && !matches!(how, How::Deliver) {
            return SettleResult::Expired;
        }
        match how {
            How::Deliver => *state = State::Delivered,
            How::Bury => *state = State::Dead,
            How::Retry(after) => *state = State::Retry(now + after.cast_signed()),
            How::Release => {}
        }
        self.claims.iter_mut().filter(|handed| handed.of == of).for_each(|handed| handed.in_force = false);
        SettleResult::Done
    }

    /// Says whether something begins anew.
    fn replay(&mut self, of: (usize, usize), from: Option<DeliveryState>, now: i64) -> bool {
        let stands = match self.deliveries.get(&of) {
            None => None,
            Some(State::Delivered) => Some(DeliveryState::Delivered),
            Some(State::Dead) => Some(DeliveryState::DeadLetter),
            Some(State::Purged) => Some(DeliveryState::Purged),
            Some(State::Fresh | State::Retry(_)) => return false,
        };
        let begins = stands == from && self.events.contains(&of.1);
        if begins {
            self.deliveries.insert(of, State::Retry(now));
        }
        begins
    }

    fn purge(&mut self, of: (usize, usize)) -> u64 {
        match self.deliveries.get_mut(&of) {
            Some(state @ State::Dead) => {
                *state = State::Purged;
                1
            }
            _ => 0,
        }
    }

    fn start_again(&mut self) {
        self.claims.iter_mut().for_each(|handed| handed.in_force = false);
    }
}

struct Run {
    bench: Option<Bench>,
    model: Model,
}

impl Run {
    fn bench(&self) -> &Bench {
        self.bench.as_ref().unwrap()
    }

    fn now(&self) -> i64 {
        self.bench().clock.now().as_second()
    }

    async fn take(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Append { number, sinks } => {
                let names: Vec<&str> = (0..SINKS.len())
                    .filter(|sink| sinks & (1 << sink) != 0)
                    .map(|sink| SINKS[sink])
                    .collect();
                assert_eq!(self.bench().append(number, &names).await, self.model.append(number, sinks));
            }
            Step::Claim { sink, limit } => self.claim(sink, limit).await,
            Step::Settle { which, how } if !self.model.claims.is_empty() => {
                self.settle(which % self.model.claims.len(), how).await;
            }
            Step::Settle { .. } => {}
            Step::Replay { number, sink, from } => self.replay((sink, number), from).await,
            Step::ReplayListed { which } if !self.model.listed.is_empty() => {
                let (_, of) = self.model.listed[which % self.model.listed.len()];
                self.replay(of, Some(DeliveryState::DeadLetter)).await;
            }
            Step::ReplayListed { .. } => {}
            Step::List => {
                for letter in self.bench().dead_letters() {
                    let number =
                        (0..8).find(|number| self.bench().event(*number).id == letter.event).unwrap();
                    let of = SINKS.iter().position(|name| letter.sink == Some(sink(name))).unwrap();
                    self.model.listed.push((letter.place, (of, number)));
                }
            }
            Step::Purge { which } if !self.model.listed.is_empty() => {
                let (place, of) = self.model.listed[which % self.model.listed.len()];
                assert_eq!(self.bench().journal.purge(vec![place]).await, Ok(self.model.purge(of)));
            }
            Step::Purge { .. } => {}
            Step::BuryDue { sink } => {
                let before = self.model.claims.len();
                self.claim(sink, 9).await;
                for which in before..self.model.claims.len() {
                    self.settle(which, How::Bury).await;
                }
            }
            Step::Wait(seconds) => self.bench().clock.advance(Duration::from_secs(seconds)),
            // Five crashes in a row with a delivery in hand would bury it, which has a test of its own.
            Step::Crash if self.model.crashes < 4 => {
                self.bench = Some(self.bench.take().unwrap().crash());
                self.model.start_again();
                self.model.crashes += 1;
                self.model.careful_until = now + 60;
            }
            Step::Crash => {}
            Step::Restart => {
                self.bench = Some(self.bench.take().unwrap().restart().await);
                self.model.start_again();
                self.model.careful_until = 0;
            }
        }
    }

    async fn settle(&mut self, which: usize, how: How) {
        let expected = self.model.settle(which, how, self.now());
        let outcome = match how {
            How::Deliver => Outcome::Delivered,
            How::Bury => Outcome::DeadLetter("gone".to_owned()),
            How::Retry(after) => Outcome::RetryAt(self.bench().clock.now() + Duration::from_secs(after)),
            How::Release => Outcome::Released,
        };
        assert_eq!(self.bench().settle(&self.model.claims[which].claim, outcome).await, expected);
    }

    async fn replay(&mut self, of: (usize, usize), from: Option<DeliveryState>) {
        let event = self.bench().event(of.1).id;
        let deliveries = vec![Redelivery { sink: sink(SINKS[of.0]), from }];
        let order = ReplayOrder { event, reading: None, deliveries };
        let replayed = self.bench().journal.replay(vec![order]).await.unwrap();
        let begins = self.model.replay(of, from, self.now());
        assert_eq!(replayed.again + replayed.added, u64::from(begins));
        assert_eq!(replayed.added == 1, begins && from.is_none());
    }

    async fn claim(&mut self, sink: usize, limit: usize) {
        let now = self.now();
        let due = self.model.due(sink, now);
        let in_hand =
            self.model.claims.iter().any(|handed| handed.of.0 == sink && self.model.in_hand(handed.of, now));
        let limit = match now < self.model.careful_until {
            true => limit.min(usize::from(!in_hand)),
            false => limit,
        };
        let claims = self.bench().claim(SINKS[sink], limit).await;
        let mut numbers = BTreeSet::new();
        for claim in claims {
            let event = claim.delivery.envelope.event().unwrap();
            let number = usize::from_str_radix(event.video_id.as_deref().unwrap(), 16).unwrap();
            assert!(numbers.insert(number), "one claim hands a delivery out once");
            let until = now + LEASE.as_secs().cast_signed();
            self.model.claims.push(Handed { claim, of: (sink, number), until, in_force: true });
        }
        assert!(numbers.is_subset(&due), "{numbers:?} of {due:?}");
        // What was in hand at crashes waits for a moment.
        if now < self.model.careful_until - 60 + 16 && numbers.is_empty() {
            return;
        }
        assert_eq!(numbers.len(), due.len().min(limit), "all that is due, up to the limit");
    }

    /// Delivers all that is left, and finds each delivery settled once.
    async fn drain(&mut self) {
        self.bench().clock.advance(Duration::from_secs(600));
        for (sink, name) in SINKS.into_iter().enumerate() {
            let left = self.model.due(sink, self.now());
            self.claim(sink, 100).await;
            for _ in 0..left.len() {
                let handed = self.model.claims.pop().unwrap();
                assert_eq!(self.bench().settle(&handed.claim, Outcome::Delivered).await, SettleResult::Done);
                self.model.deliveries.insert(handed.of, State::Delivered);
            }
            assert_eq!(self.bench().claim(name, 100).await.len(), 0);
        }
        let count =
            |wanted: State| self.model.deliveries.values().filter(|state| **state == wanted).count() as u64;
        assert_eq!(self.bench().dead_letters().len() as u64, count(State::Dead));
        let backlogs = self.bench().reader().backlogs().unwrap();
        assert_eq!(backlogs.iter().map(|backlog| backlog.pending).sum::<u64>(), 0);
        assert_eq!(backlogs.iter().map(|backlog| backlog.delivered).sum::<u64>(), count(State::Delivered));
        assert_eq!(backlogs.iter().map(|backlog| backlog.dead_letters).sum::<u64>(), count(State::Dead));
        assert_eq!(self.bench().reader().totals().unwrap().events, self.model.events.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_promise_holds(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run { bench: Some(Bench::new()), model: Model::default() };
            for step in steps {
                run.take(step).await;
            }
            run.drain().await;
        });
    }
}
