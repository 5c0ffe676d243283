//! Heartbeats: the writer notes about when it was alive, so that a later start knows since when nobody was.
//!
//! A beat rides along with a commit that is made anyway, once a second at most, which costs one page of it. Only a
//! journal that nobody writes to gets a commit of its own for it, every ten seconds.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::age;
use crate::key::nanos_of;

/// How far apart beats are when nobody writes: by so much a crash may be later than its gap begins.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);
/// How far apart they are at least.
const RIDE: Duration = Duration::from_secs(1);
/// The clock on the wall and the one that only goes ahead may differ by so much from beat to beat.
const DRIFT: Duration = Duration::from_secs(2);
/// What is remembered: so many lives, for so long.
const MOST_LIVES: i64 = 10_000;
pub(crate) const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);

/// The life under way.
#[derive(Debug)]
pub(crate) struct Heart {
    beaten: Beat,
    /// That of the transaction under way; true once it is committed.
    beating: Option<Beat>,
    tried_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Beat {
    life: i64,
    wall: i64,
    /// By the steady clock.
    at: i64,
}

impl Heart {
    /// Begins a life, in the transaction of the opening, and forgets those that are long over.
    pub(crate) fn start(conn: &Connection, wall: i64, at: i64) -> rusqlite::Result<Self> {
        conn.execute(
            "DELETE FROM lives WHERE beat_at < ?1 OR id <= (SELECT MAX(id) FROM lives) - ?2",
            [age::limit(conn, wall, REMEMBERED)?, MOST_LIVES],
        )?;
        let life = begin(conn, wall)?;
        Ok(Self { beaten: Beat { life, wall, at }, beating: None, tried_at: at })
    }

    /// Whether a commit is to be made for the sake of a beat.
    pub(crate) fn is_due(&self, at: i64) -> bool {
        at - self.beaten.at.max(self.tried_at) >= nanos_of(PERIOD)
    }

    /// Notes that a beat was tried, so that one that fails is not tried at once again.
    pub(crate) fn try_at(&mut self, at: i64) {
        self.tried_at = at;
    }

    /// Beats in the running transaction, unless the last beat was just now. Says by how much the clock on the wall was
    /// set back since then, if it was.
    pub(crate) fn ride(&mut self, conn: &Connection, wall: i64, at: i64) -> rusqlite::Result<Option<i64>> {
        if let Some(expected) = self.expected_instead_of(wall, at) {
            end(conn, self.beaten.life, expected, 2)?;
            self.beating = Some(Beat { life: begin(conn, wall)?, wall, at });
            return Ok(Some(expected - wall).filter(|back_by| *back_by > 0));
        }
        if at - self.beaten.at >= nanos_of(RIDE) {
            conn.prepare_cached("UPDATE lives SET beat_at = ?2 WHERE id = ?1")?
                .execute([self.beaten.life, wall])?;
            self.beating = Some(Beat { wall, at, ..self.beaten });
        }
        Ok(None)
    }

    /// What the clock on the wall would say had it not been set since the last beat.
    fn expected_instead_of(&self, wall: i64, at: i64) -> Option<i64> {
        let expected = self.beaten.wall.saturating_add(at - self.beaten.at);
        (wall.abs_diff(expected) > nanos_of(DRIFT).unsigned_abs()).then_some(expected)
    }

    /// The transaction is durable.
    pub(crate) fn commit(&mut self) {
        self.beaten = self.beating.take().unwrap_or(self.beaten);
    }

    /// The transaction came to nothing.
    pub(crate) fn roll_back(&mut self) {
        self.beating = None;
    }

    /// Ends the life by a clean stop, in the transaction of that. Where the clock was set since the last beat, the life
    /// ends at the moment that it would have shown, and the next start finds out.
    pub(crate) fn stop(&self, conn: &Connection, wall: i64, at: i64) -> rusqlite::Result<()> {
        end(conn, self.beaten.life, self.expected_instead_of(wall, at).unwrap_or(wall), 1)
    }
}

/// By how much the clock on the wall is behind the last beat of the life before this one, at least.
pub(crate) fn set_back_since_last_beat(conn: &Connection, wall: i64) -> rusqlite::Result<Option<i64>> {
    let beat: Option<i64> = conn
        .query_row("SELECT beat_at FROM lives ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    Ok(beat.map(|beat| beat.saturating_sub(wall)).filter(|back_by| *back_by > nanos_of(DRIFT)))
}

fn begin(conn: &Connection, wall: i64) -> rusqlite::Result<i64> {
    conn.prepare_cached("INSERT INTO lives (started_at, beat_at) VALUES (?1, ?1)")?.insert([wall])
}

fn end(conn: &Connection, life: i64, wall: i64, how: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE lives SET beat_at = ?2, ended = ?3 WHERE id = ?1")?
        .execute(params![life, wall, how])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Beats at these moments, each by the steady clock and the one on the wall, in seconds; answers the lives.
    fn lives(beats: &[(i64, i64)]) -> Vec<(i64, i64, i64)> {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("schema/2_history.sql")).unwrap();
        let wall = 1_000_000 * SECOND;
        let mut heart = Heart::start(&conn, wall, 0).unwrap();
        for (steady, of_wall) in beats {
            heart.ride(&conn, wall + of_wall * SECOND, steady * SECOND).unwrap();
            heart.commit();
        }
        let mut statement = conn.prepare("SELECT started_at, beat_at, ended FROM lives ORDER BY id").unwrap();
        let seconds = |nanos: i64| (nanos - wall) / SECOND;
        let rows = statement
            .query_map([], |row| Ok((seconds(row.get(0)?), seconds(row.get(1)?), row.get(2)?)))
            .unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_life_is_told_by_its_beats() {
        assert_eq!(lives(&[]), [(0, 0, 0)]);
        assert_eq!(lives(&[(0, 0), (5, 5), (9, 10)]), [(0, 10, 0)], "a little drift is no jump");
    }

    #[test]
    fn a_clock_that_jumps_begins_another_life() {
        assert_eq!(lives(&[(5, 5), (10, 3_610), (20, 3_620)]), [(0, 10, 2), (3_610, 3_620, 0)]);
        assert_eq!(lives(&[(5, 5), (10, -3_590), (20, -3_580)]), [(0, 10, 2), (-3_590, -3_580, 0)]);
    }

    #[test]
    fn what_came_to_nothing_beats_again() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("schema/2_history.sql")).unwrap();
        let mut heart = Heart::start(&conn, 0, 0).unwrap();
        let later = nanos_of(PERIOD);
        assert!(heart.is_due(later) && !heart.is_due(SECOND));
        heart.ride(&conn, 10 * SECOND, later).unwrap();
        heart.roll_back();
        assert!(heart.is_due(later));
        heart.try_at(later);
        assert!(!heart.is_due(later + SECOND), "but not at once");
    }

    #[test]
    fn a_clock_set_back_is_told_at_once_and_after_a_start() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("schema/2_history.sql")).unwrap();
        let mut heart = Heart::start(&conn, 1_000 * SECOND, 0).unwrap();
        assert_eq!(heart.ride(&conn, 999 * SECOND, SECOND / 2).unwrap(), None, "a little drift is no jump");
        assert_eq!(heart.ride(&conn, 100 * SECOND, SECOND / 2).unwrap(), Some(900 * SECOND + SECOND / 2));
        heart.commit();
        assert_eq!(heart.ride(&conn, 101 * SECOND, SECOND).unwrap(), None);
        assert_eq!(heart.ride(&conn, 4_000 * SECOND, SECOND).unwrap(), None, "ahead");
        heart.commit();
        assert_eq!(set_back_since_last_beat(&conn, 4_001 * SECOND).unwrap(), None);
        assert_eq!(set_back_since_last_beat(&conn, 3_000 * SECOND).unwrap(), Some(1_000 * SECOND));
        heart.stop(&conn, 10 * SECOND, 11 * SECOND).unwrap();
        assert_eq!(set_back_since_last_beat(&conn, 20 * SECOND).unwrap(), Some(3_990 * SECOND));
    }
}
