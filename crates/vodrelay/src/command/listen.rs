//! `vodrelay listen`: live events to a developer's machine, in the order of acceptance, for as long as it runs.

mod forward;

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::forward::{ForwardArgs, Forwarder, Outcome};
use super::ask::Target;
use super::events::filter::FilterArgs;
use super::events::item::{Item, table};
use super::live::{Heard, Live};
use super::stop::until_asked_to_stop;
use crate::exit::Failure;
use crate::output;
use crate::output::table::Table;

/// When nothing comes for so long, that is said.
const QUIET: Duration = Duration::from_secs(60);

/// Arguments of `listen`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay listen --forward http://127.0.0.1:3000/hooks/vod\n  \
    vodrelay listen --forward http://127.0.0.1:3000/vod/callback --vod-key-env VOD_KEY \\\n    \
    --vod-url https://api.example.com/vod/callback\n  \
    vodrelay listen --type DynamicImageComplete --status fail --json\n  \
    vodrelay listen --admin 10.0.0.7:8081 --forward http://127.0.0.1:3000/hooks/vod\n\n\
    Each event that the relay accepts from now on is sent as the provider sent it, byte for byte, with the headers of a\n\
    webhook sink. One after the other: while the receiver does not answer, or answers 502, 503 or 504, the event is tried\n\
    again until it does; any other answer is told, and the next one follows. The sinks of the relay are not touched.\n\
    Restarts of the relay and of the receiver are survived. Ctrl-C ends it.")]
pub(crate) struct Args {
    #[command(flatten)]
    forward: ForwardArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Begin behind this place, with what was accepted since: the last one that an earlier `listen` told
    #[arg(long, value_name = "PLACE")]
    after: Option<u64>,
    /// Print a line of JSON for each event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let forwarder = args.forward.forwarder()?;
    let mut session = Session {
        live: Live::new(args.target.relay()?, args.after),
        forwarder,
        filter: args.filter,
        json: args.json,
        table: table(),
        heard: 0,
        left_out: 0,
        done: args.after,
    };
    let ended = tokio::select! {
        () = until_asked_to_stop() => Ok(()),
        ended = session.listen() => ended,
    };
    session.say_goodbye();
    ended
}

struct Session {
    live: Live,
    forwarder: Option<Forwarder>,
    filter: FilterArgs,
    json: bool,
    table: Table,
    heard: u64,
    left_out: u64,
    /// The last event that was seen to.
    done: Option<u64>,
}

impl Session {
    /// Never ends by itself but with the reason.
    async fn listen(&mut self) -> Result<(), Failure> {
        let mut quiet_at = Instant::now() + QUIET;
        let mut is_away = false;
        loop {
            let heard = tokio::select! {
                heard = self.live.next() => heard?,
                () = sleep_until(quiet_at) => {
                    quiet_at = Instant::now() + QUIET;
                    output::note(if is_away { "the relay is still away; trying on" } else { "still listening; nothing has come" });
                    continue;
                }
            };
            quiet_at = Instant::now() + QUIET;
            match heard {
                Heard::Ready => self.say_hello(),
                Heard::Again => {
                    output::note("the relay is there again; what was accepted meanwhile comes now")
                }
                Heard::AnotherJournal => output::note(
                    "the relay has another journal, in which the last event is an earlier one; going on with what is new",
                ),
                Heard::Lost(ref why) => output::note(format!("{why}; trying again until it is there")),
                Heard::Accepted(ref event) => self.see_to(&Item::read(event)?, event).await?,
            }
            is_away = matches!(heard, Heard::Lost(_));
        }
    }

    async fn see_to(&mut self, item: &Item, event: &serde_json::value::RawValue) -> Result<(), Failure> {
        if !self.filter.takes(item) {
            self.left_out += 1;
        } else if let Some(forwarder) = &self.forwarder {
            self.heard += 1;
            let outcome = forwarder.forward(self.live.relay(), item).await?;
            self.tell(item, &outcome);
        } else {
            self.heard += 1;
            if self.json {
                output::json_line(event);
            } else {
                self.table.row(item.cells());
                self.table.print();
            }
        }
        self.done = Some(item.seq);
        Ok(())
    }

    fn tell(&self, item: &Item, outcome: &Outcome) {
        if !self.json {
            return output::line(format!(
                "{:.0} {} -> {}",
                item.received_at,
                item.named(),
                outcome.as_text()
            ));
        }
        let Outcome { status, took_ms, attempts } = outcome;
        output::json_line(&json!({
            "id": item.id, "seq": item.seq, "received_at": item.received_at, "event_type": item.event_type,
            "status": status, "took_ms": took_ms, "attempts": attempts,
        }));
    }

    fn say_hello(&self) {
        output::note(match &self.forwarder {
            Some(forwarder) => format!("listening; events go to {}; Ctrl-C ends it", forwarder.shown()),
            None => "listening; Ctrl-C ends it".to_owned(),
        });
    }

    /// However it ends, whoever looks later finds how far it came.
    fn say_goodbye(&self) {
        let what = if self.forwarder.is_some() { "forwarded" } else { "told" };
        let left_out = if self.left_out > 0 {
            format!(", left out by the filters: {}", self.left_out)
        } else {
            String::new()
        };
        let on = self.done.map(|done| format!("; to go on from here: --after {done}")).unwrap_or_default();
        output::note(format!("stopped listening; events {what}: {}{left_out}{on}", self.heard));
    }
}
