//! What happened since the last look, from counters that only tell how much there is.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vodrelay_core::history::LifeEnd;
use vodrelay_core::{JournalError, Ledger, SourceName, Trouble, TroubleKind};

use crate::kind::Kind;
use crate::sight::{Finding, Seen, Sight};

/// So many requests of a callback have to be refused …
const BURST: u64 = 10;
/// … within this time before anybody is told: the odd stranger is no news.
const WITHIN: Duration = Duration::from_secs(300);
/// How far back troubles are looked at: one that still grows was last touched within this.
const BACK: SignedDuration = SignedDuration::from_mins(15);

/// A counter that people can also make smaller.
#[derive(Debug, Default)]
pub(super) struct Growth(Option<u64>);

impl Growth {
    /// By how much it grew; nothing at the first look.
    pub(super) fn by(&mut self, count: u64) -> u64 {
        self.0.replace(count).map_or(0, |before| count.saturating_sub(before))
    }
}

/// Requests that were turned away, as the journal remembers them.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// How many each had at the last look; nothing before the first.
    counts: Option<BTreeMap<(TroubleKind, SourceName, Timestamp), u64>>,
    /// Refusals of each source that nobody was told of yet, with when they were seen.
    recent: BTreeMap<SourceName, VecDeque<(Duration, u64)>>,
}

impl Troubles {
    pub(super) async fn look(
        &mut self,
        ledger: &dyn Ledger,
        now: Timestamp,
        steady: Duration,
    ) -> Result<Vec<Sight>, JournalError> {
        let since = now.checked_sub(BACK).unwrap_or(now);
        let troubles = ledger.history(since).await?.troubles;
        let mut sights = Vec::new();
        let mut refused: BTreeMap<&SourceName, (u64, &Trouble)> = BTreeMap::new();
        for trouble in &troubles {
            let grown = self.grown(trouble);
            match trouble.kind {
                _ if grown == 0 => {}
                TroubleKind::Refused(_) => refused.entry(&trouble.source).or_insert((0, trouble)).0 += grown,
                kind => sights.push(turned_away(kind, trouble, grown)),
            }
        }
        for (source, (grown, trouble)) in refused {
            let recent = self.recent.entry(source.clone()).or_default();
            recent.push_back((steady, grown));
            recent.retain(|(seen, _)| steady.saturating_sub(*seen) <= WITHIN);
            let sum = recent.iter().map(|(_, count)| count).sum();
            if sum >= BURST {
                recent.clear();
                sights.push(refusals(source, trouble, sum));
            }
        }
        let key = |trouble: &Trouble| (trouble.kind, trouble.source.clone(), trouble.first_at);
        self.counts = Some(troubles.iter().map(|trouble| (key(trouble), trouble.count)).collect());
        Ok(sights)
    }

    /// By how many it has grown since the last look. What was there at the first is no news.
    fn grown(&self, trouble: &Trouble) -> u64 {
        let Some(counts) = &self.counts else { return 0 };
        let before = counts.get(&(trouble.kind, trouble.source.clone(), trouble.first_at));
        trouble.count.saturating_sub(before.copied().unwrap_or(0))
    }
}

fn refusals(source: &SourceName, trouble: &Trouble, count: u64) -> Sight {
    let cause = trouble.kind.as_str();
    let what = format!(
        "the cause is {cause}; what was kept can be accepted later, when our key, URL or clock was wrong"
    );
    let next = match source.as_str().split_once('.') {
        Some((_, name)) => format!("vodrelay refused explain --callback {name}"),
        None => "vodrelay refused list".to_owned(),
    };
    Sight::new(Kind::Refusals, source.as_str(), Seen::Times(count, Finding::new(what, next)))
}

fn turned_away(kind: TroubleKind, trouble: &Trouble, count: u64) -> Sight {
    let (what, next) = match kind {
        TroubleKind::Full => ("the journal has no room", "df -h, and make room where data_dir is"),
        TroubleKind::Failing => ("the journal does not work", "the log, and the disk (dmesg)"),
        TroubleKind::TooLarge => (
            "they are larger than http.body_limit",
            "the log for who sends them; raise http.body_limit where they are VOD's",
        ),
        _ => (
            "their time ran out before the relay came to them",
            "top, and the metrics of the journal's syncs",
        ),
    };
    let what = format!("{what}; a callback is given up by VOD after three tries, a queue keeps its messages");
    let finding = Finding::new(what, format!("{next}; vodrelay gaps tells what may be missing"));
    Sight::new(Kind::TurnedAway, trouble.source.as_str(), Seen::Times(count, finding))
}

/// That the life before this one was not stopped, if so.
pub(super) async fn unclean_start(
    ledger: &dyn Ledger,
    now: Timestamp,
) -> Result<Option<Sight>, JournalError> {
    let lives = ledger.history(now).await?.lives;
    let Some(ours) = lives.first() else { return Ok(None) };
    // The one that ended last before ours comes first of those since a moment before ours began.
    let just_before = ours.started_at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(ours.started_at);
    let lives = ledger.history(just_before).await?.lives;
    let Some(before) = lives.first().filter(|life| life.started_at < ours.started_at) else {
        return Ok(None);
    };
    if before.end != LifeEnd::Open {
        return Ok(None);
    }
    let what =
        format!("its last sign of life was at {}; what was accepted is in the journal", before.beat_at);
    let next = "vodrelay gaps --since 1h, and the log of the supervisor (journalctl -u vodrelay)";
    let finding = Finding::new(what, next);
    Ok(Some(Sight::new(Kind::UncleanStart, "", Seen::Times(1, finding))))
}

#[cfg(test)]
mod tests {
    use vodrelay_core::Name;

    use super::*;

    #[test]
    fn each_cause_has_its_own_words() {
        let source = SourceName::callback(&Name::new("main").unwrap());
        let check = |kind: TroubleKind, says: &str| {
            let at = Timestamp::UNIX_EPOCH;
            let trouble = Trouble {
                kind,
                source: source.clone(),
                first_at: at,
                last_at: at,
                count: 1,
                kept: 0,
                settled: 0,
            };
            let told = format!("{:?}", turned_away(kind, &trouble, 1));
            assert!(told.contains(says), "{told}");
        };
        check(TroubleKind::Full, "the journal has no room");
        check(TroubleKind::Failing, "the journal does not work");
        check(TroubleKind::Busy, "their time ran out");
        check(TroubleKind::TooLarge, "larger than http.body_limit");
    }
}
