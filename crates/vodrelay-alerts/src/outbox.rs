//! Delivers what is told to one channel: what waits goes in as few messages as it takes, and again until it arrives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use vodrelay_core::{Clock, Name};

use crate::alert::Alert;
use crate::channel::Channel;

/// So many may wait; of more the oldest go.
const WAITING: usize = 100;
/// What could not be told for so long is told no more.
const TOO_OLD: SignedDuration = SignedDuration::from_hours(6);

/// How long to wait after a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) cap: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(2), cap: Duration::from_secs(300) }
    }
}

/// Where alerts for one channel are put. What waits is lost with it.
#[derive(Debug)]
pub(crate) struct Outbox {
    name: Name,
    alerts: mpsc::Sender<Alert>,
    channel: watch::Sender<Channel>,
}

impl Outbox {
    /// Begins to deliver.
    pub(crate) fn open(channel: Channel, relay: Arc<str>, clock: Arc<dyn Clock>, pace: Pace) -> Self {
        let (alerts, coming) = mpsc::channel(WAITING);
        let (name, (told, channel)) = (channel.name().clone(), watch::channel(channel));
        for outcome in ["sent", "failed", "dropped"] {
            count(&name, outcome, 0);
        }
        let carrier = Carrier { coming, channel, relay, clock, pace, waiting: VecDeque::new(), failures: 0 };
        tokio::spawn(carrier.run());
        Self { name, alerts, channel: told }
    }

    /// Another way to the same people.
    pub(crate) fn change(&self, channel: Channel) {
        self.channel.send_replace(channel);
    }

    /// Takes it if it is for this channel. Nobody ever waits here.
    pub(crate) fn put(&self, alert: &Alert) {
        if self.channel.borrow().takes(alert.kind) && self.alerts.try_send(alert.clone()).is_err() {
            count(&self.name, "dropped", 1);
        }
    }
}

struct Carrier {
    coming: mpsc::Receiver<Alert>,
    channel: watch::Receiver<Channel>,
    relay: Arc<str>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    waiting: VecDeque<Alert>,
    failures: u32,
}

impl Carrier {
    async fn run(mut self) {
        while self.next().await {
            let channel = self.channel.borrow().clone();
            let now = self.clock.now();
            self.drop_what_is_old(channel.name(), now);
            let alerts: Vec<Alert> = self.waiting.iter().cloned().collect();
            if alerts.is_empty() {
                continue;
            }
            match channel.send(&alerts, &self.relay, now).await {
                Ok(sent) => self.note_sent(channel.name(), sent),
                Err(error) => {
                    count(channel.name(), "failed", 1);
                    self.failures += 1;
                    if self.failures == 1 {
                        tracing::warn!(alert.name = %channel.name(), %error, "an alert could not be told; it is tried again, with others that come meanwhile");
                    }
                    self.wait().await;
                }
            }
        }
    }

    /// Waits until there is something to tell, and takes all that came; false when nothing comes any more.
    async fn next(&mut self) -> bool {
        if self.waiting.is_empty() {
            match self.coming.recv().await {
                Some(alert) => self.waiting.push_back(alert),
                None => return false,
            }
        }
        loop {
            match self.coming.try_recv() {
                Ok(alert) => self.waiting.push_back(alert),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    // One last try; whoever took the channel out wants to hear no more.
                    return self.failures == 0;
                }
            }
        }
    }

    fn drop_what_is_old(&mut self, name: &Name, now: Timestamp) {
        let before = self.waiting.len();
        let surplus = before.saturating_sub(WAITING);
        self.waiting.drain(..surplus);
        self.waiting.retain(|alert| now.duration_since(alert.at) <= TOO_OLD);
        let dropped = before - self.waiting.len();
        if dropped > 0 {
            count(name, "dropped", dropped as u64);
            tracing::warn!(alert.name = %name, dropped, "alerts were given up untold, since they were too old or too many");
        }
    }

    fn note_sent(&mut self, name: &Name, sent: usize) {
        self.waiting.drain(..sent.min(self.waiting.len()));
        count(name, "sent", sent as u64);
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(alert.name = %name, "alerts arrive again");
        }
    }

    /// Half of the wait is left to chance, so that two relays do not meet at the same robot again and again.
    async fn wait(&self) {
        let longest =
            self.pace.first.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(self.pace.cap);
        sleep(longest.mul_f64(rand::random_range(0.5..=1.0))).await;
    }
}

fn count(name: &Name, outcome: &'static str, by: u64) {
    counter!("vodrelay_alerts_total", "alert" => name.to_string(), "outcome" => outcome).increment(by);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use vodrelay_core::SystemClock;

    use super::*;
    use crate::stand_in::StandIn;

    const FAST: Pace = Pace { first: Duration::from_millis(20), cap: Duration::from_millis(20) };

    fn open(channel: Channel) -> Outbox {
        Outbox::open(channel, "relay-1".into(), Arc::new(SystemClock), FAST)
    }

    fn alert(title: &str) -> Alert {
        Alert { title: title.to_owned(), ..Alert::test(SystemClock.now()) }
    }

    fn titles((_, body): &(String, Value)) -> Vec<String> {
        let alerts = body["alerts"].as_array().unwrap().iter();
        alerts.map(|alert| alert["title"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn what_fails_is_sent_again_with_what_came_meanwhile_and_nothing_twice() {
        let stand_in = StandIn::start(&[(500, "no"), (500, "no"), (200, "")]).await;
        let outbox = open(stand_in.channel("url = \"http://127.0.0.1:PORT/\""));
        outbox.put(&alert("first"));
        stand_in.until_seen(1).await;
        outbox.put(&alert("second"));
        let seen = stand_in.until_seen(3).await;
        assert_eq!(titles(&seen[0]), ["first"]);
        assert_eq!(titles(&seen[2]), ["first", "second"]);
        outbox.put(&alert("third"));
        let seen = stand_in.until_seen(4).await;
        assert_eq!(titles(&seen[3]), ["third"]);
    }

    #[tokio::test]
    async fn a_code_in_the_body_is_a_failure_too() {
        let busy = r#"{"errcode":130101,"errmsg":"send too fast"}"#;
        let stand_in = StandIn::start(&[(200, busy), (200, r#"{"errcode":0}"#)]).await;
        let outbox = open(stand_in.channel("url = \"http://127.0.0.1:PORT/\"\nformat = \"dingtalk\""));
        outbox.put(&alert("first"));
        let seen = stand_in.until_seen(2).await;
        assert_eq!(seen[0], seen[1]);
        outbox.put(&alert("second"));
        let seen = stand_in.until_seen(3).await;
        assert!(seen[2].1["text"]["content"].as_str().unwrap().contains("second"));
    }

    #[tokio::test]
    async fn a_channel_is_told_what_it_wants_and_a_new_one_takes_over_what_waits() {
        let (down, up) = (StandIn::start(&[(500, "")]).await, StandIn::start(&[(200, "")]).await);
        let outbox = open(down.channel("url = \"http://127.0.0.1:PORT/\"\nkinds = [\"disk_low\"]"));
        outbox.put(&Alert { kind: crate::Kind::SinkDown, ..alert("not wanted") });
        outbox.put(&Alert { kind: crate::Kind::DiskLow, ..alert("wanted") });
        assert_eq!(titles(&down.until_seen(1).await[0]), ["wanted"]);
        outbox.change(up.channel("url = \"http://127.0.0.1:PORT/\""));
        assert_eq!(titles(&up.until_seen(1).await[0]), ["wanted"]);
    }

    #[tokio::test]
    async fn a_flood_waits_for_nobody_and_keeps_a_bounded_number() {
        let stand_in = StandIn::start(&[(500, ""), (200, "")]).await;
        let outbox = open(stand_in.channel("url = \"http://127.0.0.1:PORT/\""));
        (0..10_000).for_each(|number| outbox.put(&alert(&number.to_string())));
        let seen = stand_in.until_seen(2).await;
        assert!(titles(&seen[1]).len() <= WAITING);
    }
}
