//! How old things are, counted in time that has passed and not in what a clock made of it.
//!
//! What is kept for a span is removed for good, so a clock that is wrong for an hour must not remove it. Heartbeats tell
//! what passed: a jump of the clock while the relay ran counts nothing, and a stretch without any relay, of which nobody
//! knows whether it was long or the clock was set, counts a day at most.

use std::time::Duration;

use rusqlite::Connection;

use crate::key::nanos_of;

/// What a stretch in which no relay ran counts at most.
const DOWN: Duration = Duration::from_secs(86_400);

/// A stretch of heartbeats: when it began, its last beat, and whether a jump of the clock ended it.
type Life = (i64, i64, bool);

/// The moment before which everything is older than that.
pub(crate) fn limit(conn: &Connection, now: i64, span: Duration) -> rusqlite::Result<i64> {
    let mut statement =
        conn.prepare_cached("SELECT started_at, beat_at, ended = 2 FROM lives ORDER BY id DESC")?;
    let lives = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    limit_of(lives, now, nanos_of(span))
}

/// Walks the lives from the newest back until the span has passed.
fn limit_of(
    lives: impl Iterator<Item = rusqlite::Result<Life>>,
    now: i64,
    span: i64,
) -> rusqlite::Result<i64> {
    let (mut left, mut next, mut earliest) = (span, now, now);
    for life in lives {
        let (started_at, beat_at, jumped) = life?;
        let down = if jumped { 0 } else { next.saturating_sub(beat_at).clamp(0, nanos_of(DOWN)) };
        if left <= down {
            return Ok(earliest.min(next.saturating_sub(left)));
        }
        left -= down;
        let lived = beat_at.saturating_sub(started_at).max(0);
        if left <= lived {
            return Ok(earliest.min(beat_at.saturating_sub(left)));
        }
        left -= lived;
        next = started_at;
        // A clock that was behind wrote down moments before those of earlier lives, and they are young all the same.
        earliest = earliest.min(started_at);
    }
    // Before that nothing is known, and the clock is believed.
    Ok(earliest.min(next.saturating_sub(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    /// Lives in hours, the newest last.
    #[track_caller]
    fn check(lives: &[(i64, i64, bool)], now: i64, span: i64, expect: i64) {
        let lives = lives.iter().rev().map(|(start, beat, jumped)| Ok((start * HOUR, beat * HOUR, *jumped)));
        assert_eq!(limit_of(lives, now * HOUR, span * HOUR).unwrap() / HOUR, expect);
    }

    #[test]
    fn where_no_clock_jumps_it_is_the_clock_that_counts() {
        check(&[], 1_000, 100, 900);
        check(&[(0, 1_000, false)], 1_000, 100, 900);
        check(&[(950, 1_000, false)], 1_000, 100, 900);
        check(&[(0, 890, false), (905, 950, false), (955, 1_000, false)], 1_000, 100, 900);
        check(&[(0, 905, false), (910, 1_000, false)], 1_000, 100, 900);
    }

    #[test]
    fn a_jump_counts_nothing_and_a_stretch_without_a_relay_a_day() {
        check(&[(0, 1_000, true), (9_000, 9_010, false)], 9_010, 100, 910);
        check(&[(0, 1_000, false), (9_000, 9_010, false)], 9_010, 100, 1_000 - (100 - 10 - 24));
        check(&[(0, 1_000, false), (9_000, 9_010, false)], 9_010, 20, 8_990);
    }

    #[test]
    fn what_a_clock_wrote_down_that_was_wrong_is_as_young_as_it_is() {
        // Right, then at zero after a reboot, then right again.
        check(&[(5_000, 6_000, false), (0, 1, true), (6_010, 6_020, false)], 6_020, 100, 0);
        check(&[(5_000, 6_000, false), (0, 1, true), (6_010, 6_200, false)], 6_200, 100, 6_100);
        // Ahead for an hour, then right again.
        check(&[(0, 1_000, true), (9_000, 9_001, true), (1_001, 1_050, false)], 1_050, 100, 950);
    }
}
