//! What every sink must do, whatever it delivers to.

use std::sync::Arc;

use jiff::Timestamp;

use super::sample::{delivery_of, event_body};
use crate::name::Name;
use crate::sink::Sink;

/// Runs the contract against a sink whose receiver is there and takes everything.
pub async fn sink_contract(sink: Arc<dyn Sink>) {
    let name = Name::new("contract").expect("a good name");
    let received_at = Timestamp::from_second(1_700_000_000).expect("a moment in range");
    sink.check().await.expect("a receiver that is there passes the check");

    let delivery = delivery_of(event_body(1), &name, received_at);
    sink.deliver(&delivery).await.expect("an event is taken");
    sink.deliver(&delivery).await.expect("a repeat of the same event is taken as well");

    let mut replayed = delivery.clone();
    (replayed.attempt, replayed.replay) = (7, 1);
    sink.deliver(&replayed).await.expect("a replay is taken");

    let abandoned = delivery_of(event_body(2), &name, received_at);
    drop(sink.deliver(&abandoned));
    sink.deliver(&abandoned).await.expect("an attempt that was dropped does not spoil the next");

    let (first, second) =
        (delivery_of(event_body(3), &name, received_at), delivery_of(event_body(4), &name, received_at));
    let (first, second) = tokio::join!(sink.deliver(&first), sink.deliver(&second));
    first.and(second).expect("two at a time are taken");
    let debug = format!("{sink:?}");
    assert!(!debug.contains("whsec_"), "a sink never prints a secret: {debug}");
}
