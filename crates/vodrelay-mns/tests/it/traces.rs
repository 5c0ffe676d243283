//! The spans of a queue: one for each poll that brought something or failed, and one for each message, linked to its poll.

use std::sync::Arc;
use std::time::Duration;

use mns_emulator::{Fault, Operation};
use vodrelay_core::trace::{SpanRecord, Value};
use vodrelay_core::{SpanKind, SystemClock, Tracer};

use crate::stage::Stage;

fn value<'r>(record: &'r SpanRecord, key: &str) -> Option<&'r Value> {
    record.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_linked_to_the_poll_that_brought_it_and_its_event_to_the_message() {
    let mut stage = Stage::new().await;
    let (tracer, mut ended) = Tracer::new(Arc::new(SystemClock), 1.0);
    stage.intake = stage.intake.clone().tracing(tracer);
    stage.emulator.inject(Fault::Unavailable.always().on(Operation::BatchReceiveMessage).times(1));
    stage.send(0..3);
    let running = stage.start();
    stage.pass_until("the drain", |stage| stage.in_queue() == 0).await;
    // An idle queue is polled on and on, and tells nothing of it.
    stage.pass(Duration::from_secs(90), Duration::from_secs(1)).await;
    running.stop.cancel();
    running.task.await.unwrap().unwrap();
    let mut records = Vec::new();
    while let Ok(record) = ended.try_recv() {
        records.push(record);
    }
    let named = |name: &str| records.iter().filter(|record| record.name == name).collect::<Vec<_>>();
    let (polls, messages, appends) =
        (named("receive vod-events"), named("process vod-events"), named("append"));
    assert_eq!((messages.len(), appends.len()), (3, 3), "{records:?}");
    let (failed, good): (Vec<&SpanRecord>, Vec<&SpanRecord>) = polls.iter().partition(|poll| poll.failed);
    assert_eq!(failed.len(), 1);
    assert_eq!(value(failed[0], "error.type"), Some(&"503".into()));
    let brought: i64 = good
        .iter()
        .map(|poll| match value(poll, "messaging.batch.message_count") {
            Some(Value::Number(count)) => *count,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(brought, 3);
    for message in messages {
        assert_eq!((message.kind, message.failed), (SpanKind::Consumer, false));
        assert!(good.iter().any(|poll| message.links == [poll.context]), "{message:?}");
        for (key, expect) in [
            ("messaging.system", "aliyun_mns"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "vod-events"),
            ("vodrelay.queue", "main"),
        ] {
            assert_eq!(value(message, key), Some(&expect.into()), "{key}");
        }
        assert!(appends.iter().any(|append| append.parent == Some(message.context)));
        let events = stage.journal.inner.events();
        assert!(events.iter().any(|event| event.trace == Some(message.context)));
    }
}
