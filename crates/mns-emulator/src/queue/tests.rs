//! The states of messages, moment by moment.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::settings::Format;

struct Bench {
    queue: Queue,
    mint: Mint,
    now: Timestamp,
}

impl Bench {
    fn new(attributes: Attributes) -> Self {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let mint = Mint::new(Format::Current, StdRng::seed_from_u64(7));
        Self { queue: Queue::new(attributes, now), mint, now }
    }

    fn pass(&mut self, seconds: u64) -> usize {
        self.now += Duration::from_secs(seconds);
        self.queue.refresh(self.now).len()
    }

    fn send(&mut self, body: &str, draft: Draft) -> Option<String> {
        let draft = Draft { body: body.to_owned(), ..draft };
        self.queue.send(draft, self.now, &mut self.mint).handle
    }

    fn receive(&mut self) -> Option<Message> {
        self.queue.receive(0, self.now, &mut self.mint)
    }

    fn bodies(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.receive()).map(|message| message.body).collect()
    }
}

fn draft() -> Draft {
    Draft::default()
}

fn counts(active: usize, inactive: usize, delayed: usize) -> Counts {
    Counts { active, inactive, delayed }
}

#[test]
fn a_received_message_is_hidden_until_its_timeout_and_then_there_again() {
    let mut bench = Bench::new(Attributes::default());
    bench.send("a", draft());
    let first = bench.receive().unwrap();
    assert_eq!((first.dequeue_count, first.first_dequeued_at), (1, Some(bench.now)));
    assert_eq!(bench.queue.counts(), counts(0, 1, 0));
    bench.pass(29);
    assert!(bench.receive().is_none());
    bench.pass(1);
    let second = bench.receive().unwrap();
    assert_eq!((second.dequeue_count, second.first_dequeued_at), (2, first.first_dequeued_at));
    assert_ne!(second.handle, first.handle);
    let deleted = bench.queue.delete(&first.handle.unwrap());
    assert_eq!(deleted.err(), Some(Refusal::MESSAGE_NOT_EXIST), "superseded");
    assert!(bench.queue.delete(&second.handle.unwrap()).is_ok());
    assert_eq!(bench.queue.counts(), counts(0, 0, 0));
}

#[test]
fn a_handle_dies_with_the_visibility_timeout_even_if_nobody_receives_again() {
    let mut bench = Bench::new(Attributes::default());
    bench.send("a", draft());
    let handle = bench.receive().unwrap().handle.unwrap();
    bench.pass(30);
    assert_eq!(bench.queue.delete(&handle).err(), Some(Refusal::MESSAGE_NOT_EXIST));
    assert_eq!(bench.queue.counts(), counts(1, 0, 0));
}

#[test]
fn a_change_of_visibility_counts_from_now_and_gives_a_new_handle() {
    let mut bench = Bench::new(Attributes::default());
    bench.send("a", draft());
    let old = bench.receive().unwrap().handle.unwrap();
    bench.pass(20);
    let Bench { queue, mint, now } = &mut bench;
    let new = queue.change_visibility(&old, 60, *now, mint).unwrap();
    assert_eq!(new.hidden_until, Some(*now + Duration::from_secs(60)));
    assert_eq!(queue.change_visibility(&old, 60, *now, mint).err(), Some(Refusal::MESSAGE_NOT_EXIST));
    bench.pass(59);
    assert!(bench.receive().is_none());
    assert!(bench.queue.delete(&new.handle.unwrap()).is_ok());
}

#[test]
fn a_delayed_message_can_be_deleted_before_it_is_visible() {
    let mut bench = Bench::new(Attributes { delay_seconds: 10, ..Attributes::default() });
    let by_queue = bench.send("queue", draft()).unwrap();
    let own = bench.send("own", Draft { delay_seconds: Some(5), ..draft() });
    let none = bench.send("none", Draft { delay_seconds: Some(0), ..draft() });
    assert!(own.is_some() && none.is_none(), "the message's delay beats the queue's");
    assert_eq!(bench.queue.counts(), counts(1, 0, 2));
    assert!(bench.queue.delete(&by_queue).is_ok());
    bench.pass(5);
    assert_eq!(bench.bodies(), ["own", "none"]);
}

#[test]
fn retention_ends_a_message_whatever_its_state() {
    let mut bench = Bench::new(Attributes {
        message_retention_period: 60,
        visibility_timeout: 3600,
        ..Attributes::default()
    });
    bench.send("received", draft());
    let handle = bench.receive().unwrap().handle.unwrap();
    bench.send("delayed", Draft { delay_seconds: Some(3600), ..draft() });
    bench.send("active", draft());
    assert_eq!(bench.pass(59), 0);
    assert_eq!(bench.pass(1), 3);
    assert_eq!(bench.queue.counts(), counts(0, 0, 0));
    assert_eq!(bench.queue.delete(&handle).err(), Some(Refusal::MESSAGE_NOT_EXIST));
}

#[test]
fn priority_comes_before_age_and_a_message_that_returns_takes_its_old_place() {
    let mut bench = Bench::new(Attributes::default());
    for (body, priority) in [("a", None), ("low", Some(16)), ("high", Some(1)), ("b", None)] {
        bench.send(body, Draft { priority, ..draft() });
    }
    assert_eq!(bench.bodies(), ["high", "a", "b", "low"]);
    bench.pass(30);
    assert_eq!(bench.bodies(), ["high", "a", "b", "low"]);
}

#[test]
fn peeking_changes_nothing_and_sees_only_what_is_visible() {
    let mut bench = Bench::new(Attributes::default());
    bench.send("a", draft());
    bench.send("later", Draft { delay_seconds: Some(5), ..draft() });
    let peeked = bench.queue.peek(16);
    assert_eq!(peeked.iter().map(|message| message.body.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!((peeked[0].dequeue_count, &peeked[0].handle), (0, &None));
    assert_eq!(bench.receive().unwrap().dequeue_count, 1);
}

#[test]
fn a_duplicate_lives_and_dies_by_itself() {
    let mut bench = Bench::new(Attributes::default());
    bench.send("a", draft());
    let first = bench.receive().unwrap();
    bench.queue.duplicate(&first);
    let second = bench.receive().unwrap();
    assert_eq!((second.id, second.dequeue_count), (first.id, 2));
    assert!(bench.queue.delete(&first.handle.unwrap()).is_ok());
    assert!(bench.queue.delete(&second.handle.unwrap()).is_ok());
}

#[test]
fn a_handle_that_was_never_made_is_told_from_one_that_is_gone() {
    let mut bench = Bench::new(Attributes::default());
    assert_eq!(bench.queue.delete("bogus").err(), Some(Refusal::RECEIPT_HANDLE_ERROR));
    let foreign = "1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==";
    assert_eq!(bench.queue.delete(foreign).err(), Some(Refusal::MESSAGE_NOT_EXIST));
}
