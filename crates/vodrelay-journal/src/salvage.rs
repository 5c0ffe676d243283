//! What can be read of a damaged journal, in a new one.
//!
//! The damaged journal is copied first, block by block, and never touched again. Of the copy each event is read with
//! all that belongs to it, around what does not read. Where it is doubtful whether something was delivered, it is
//! delivered again: at least once is what is promised.

mod event;
mod ranges;
mod scratch;
mod strays;
mod without;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::Row;
use rusqlite::types::Value;

use self::ranges::{Unread, read_range};
use self::scratch::Scratch;
use self::strays::Misplaced;
use self::without::Without;
use crate::backup::values;
use crate::copy::{self, CopyError, EVENTS, MOST_NAMES, PURGED, REFUSALS, SINKS, Table, Target, WORDS};
use crate::error::OpenError;
use crate::key::Key;
use crate::lock;
use crate::open::{FILE, LOG};
use crate::schema;

/// Bodies that are not what was accepted are put here, in the new journal's folder.
const KEPT_OUT: &str = "kept-out";

/// No relay gets so far, and the numbers of deliveries still fit.
const MOST_SEQ: i64 = 1 << 50;

/// Something that is not in the new journal, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which kind.
    pub kind: LossKind,
    /// What, and why.
    pub what: String,
}

/// Kinds of losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossKind {
    /// It does not read, and is gone.
    Lost,
    /// A body is not the one that was accepted: it is kept beside the journal and never delivered.
    KeptOut,
    /// It was made whole in a way that loses least.
    Mended,
}

impl LossKind {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::KeptOut => "kept-out",
            Self::Mended => "mended",
        }
    }
}

/// What was salvaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// The new journal's file.
    pub file: PathBuf,
    /// Events in it.
    pub events: u64,
    /// Deliveries in it.
    pub deliveries: u64,
    /// Refusals in it.
    pub refusals: u64,
    /// Events that the old one had and the new one has not, with those whose bodies are kept out.
    pub events_lost: u64,
    /// How many losses were told, with those that were mended.
    pub losses: u64,
}

/// Copies what reads of the journal in `folder` into a new one in the folder `to`, and tells what does not.
///
/// # Errors
/// If there is no journal, if a relay runs on it, if there is one in `to` already, or if it cannot be written.
pub fn salvage(folder: &Path, to: &Path, told: &mut dyn FnMut(Loss)) -> Result<Salvaged, CopyError> {
    let file = folder.join(FILE);
    // Of a file that is missing its log may hold all the same what was written last.
    if !folder.join(LOG).exists() {
        std::fs::metadata(&file).map_err(|error| OpenError::from_io(&file, &error))?;
    }
    let _kept = lock::keep(folder)?;
    let target = Target::create(to.join(FILE))?;
    let mut salvage = Salvage {
        target,
        told,
        kept_out: to.join(KEPT_OUT),
        sinks: Vec::new(),
        strays: HashMap::new(),
        misnumbered: HashSet::new(),
        told_of: HashSet::new(),
        without: Without::default(),
        perhaps: HashMap::new(),
        count: Counts::default(),
    };
    let scratch = Scratch::copy(folder, to, &mut salvage)?;
    salvage.names(&scratch)?;
    salvage.find_strays(&scratch);
    salvage.events(&scratch)?;
    salvage.tell_without();
    salvage.refusals(&scratch)?;
    salvage.what_later_schemas_add(&scratch)?;
    salvage.figures(&scratch)?;
    salvage.compare_with_counters(&scratch)?;
    let Salvage { target, count, .. } = salvage;
    let Counts { events, deliveries, refusals, losses, told: events_lost, .. } = count;
    Ok(Salvaged { file: target.finish()?, events, deliveries, refusals, events_lost, losses })
}

/// A salvage under way.
struct Salvage<'a> {
    target: Target,
    told: &'a mut dyn FnMut(Loss),
    kept_out: PathBuf,
    /// The numbers of the sinks that are known.
    sinks: Vec<i64>,
    /// Deliveries that no search finds, by their events.
    strays: HashMap<i64, Vec<Vec<Value>>>,
    /// The ids of events whose numbers may be those of others.
    misnumbered: HashSet<Vec<u8>>,
    /// The ids that events had which are in the new journal under another one, or not at all.
    told_of: HashSet<Vec<u8>>,
    without: Without,
    /// Deliveries to each sink that were made again and may never have been.
    perhaps: HashMap<i64, i64>,
    count: Counts,
}

#[derive(Default)]
struct Counts {
    events: u64,
    deliveries: u64,
    refusals: u64,
    losses: u64,
    /// Events that were told to be lost or kept out.
    told: u64,
    last_seq: i64,
}

impl Salvage<'_> {
    fn tell(&mut self, kind: LossKind, what: impl Into<String>) {
        self.count.losses += 1;
        (self.told)(Loss { kind, what: what.into() });
    }

    fn put(&self, table: &Table, row: &[Value]) -> Result<bool, CopyError> {
        self.target.put(table, row).map_err(|error| self.target.failed(&error))
    }

    fn tell_unread(&mut self, table: &Table, unread: Unread) {
        let belongings = if table.name == EVENTS.name { ", nor does what belongs to them" } else { "" };
        for (first, last) in unread.lost {
            self.tell(LossKind::Lost, format!("{} {first} to {last} do not read{belongings}", table.name));
        }
        for (first, last) in unread.doubtful {
            let what = "are out of order: what was found is there, and others may have gone";
            self.tell(LossKind::Lost, format!("{} {first} to {last} {what}", table.name));
        }
    }

    /// Words and sinks, by their numbers.
    fn names(&mut self, from: &Scratch) -> Result<(), CopyError> {
        for table in [&WORDS, &SINKS] {
            let mut rows = Vec::new();
            let unread = read_range(&from.conn, table, "id", 0, MOST_NAMES, &mut |row| rows.push(row));
            self.tell_unread(table, unread);
            for row in rows {
                let Some(Value::Integer(number)) = row.first().cloned() else { continue };
                if event::is_name(table, &row) && self.put(table, &row)? {
                    self.target.is_new(table, number);
                    if table.name == SINKS.name {
                        self.sinks.push(number);
                    }
                } else {
                    self.tell(LossKind::Lost, format!("{} {number}: the name cannot be one", table.name));
                }
            }
        }
        Ok(())
    }

    fn find_strays(&mut self, from: &Scratch) {
        self.misnumbered = strays::misnumbered(&from.conn);
        self.strays = strays::deliveries(&from.conn);
        for Misplaced { key, was, mut row } in strays::misplaced(&from.conn) {
            if let (Some(was), Some(first)) = (was, row.first_mut()) {
                *first = Value::Integer(was.0);
                self.strays.entry(was.seq()).or_default().push(row);
                continue;
            }
            let sink = key.sink();
            *self.perhaps.entry(sink).or_default() += 1;
            let what = format!(
                "a delivery to sink {sink} stands where one of event {} would, and is another's",
                key.seq()
            );
            self.tell(LossKind::Lost, format!("{what}; `vodrelay replay --since TIME` delivers anew"));
        }
    }

    fn events(&mut self, from: &Scratch) -> Result<(), CopyError> {
        self.count.last_seq = from.meta("last_seq").clamp(0, MOST_SEQ);
        let mut outcome = Ok(());
        let unread = read_range(&from.conn, &EVENTS, "seq", 1, from.expected_seq(), &mut |row| {
            if outcome.is_ok() {
                outcome = self.one(from, row);
            }
        });
        outcome?;
        self.count.told += unread.lost.iter().map(|(first, last)| last.abs_diff(*first) + 1).sum::<u64>();
        self.tell_unread(&EVENTS, unread);
        let mut outcome = Ok(());
        strays::walk(&from.conn, &EVENTS, &mut |row| {
            if outcome.is_ok() {
                outcome = self.passed(from, row);
            }
        });
        outcome
    }

    /// An event on a walk through all of them, which was searched for by its number before, and perhaps not found.
    fn passed(&mut self, from: &Scratch, row: &Row<'_>) -> Result<(), CopyError> {
        let Ok(id) = row.get::<_, Vec<u8>>(1) else { return Ok(()) };
        let is_known = self.told_of.contains(&id)
            || self.target.event_with(&id).map_err(|error| self.target.failed(&error))?.is_some();
        match values(row) {
            Ok(row) if !is_known => self.one(from, row),
            _ => Ok(()),
        }
    }

    /// An event, and a note of it where it is not in the new journal by the id that it had.
    fn one(&mut self, from: &Scratch, row: Vec<Value>) -> Result<(), CopyError> {
        let id = row.get(1).cloned();
        self.event(from, row)?;
        if let Some(Value::Blob(id)) = id
            && self.target.event_with(&id).map_err(|error| self.target.failed(&error))?.is_none()
        {
            self.told_of.insert(id);
        }
        Ok(())
    }

    fn refusals(&mut self, from: &Scratch) -> Result<(), CopyError> {
        let mut outcome = Ok(());
        let unread = read_range(&from.conn, &REFUSALS, "id", 0, from.expected_refusal(), &mut |row| {
            if outcome.is_ok() {
                outcome = self.refusal(&row);
            }
        });
        outcome?;
        self.tell_unread(&REFUSALS, unread);
        Ok(())
    }

    /// Pauses, purged dead letters, the history of the relay, who did what, and which spans brought events.
    fn what_later_schemas_add(&mut self, from: &Scratch) -> Result<(), CopyError> {
        if schema::version(&from.conn).is_ok_and(|version| version < 2) {
            return Ok(());
        }
        match copy::pauses(&from.conn) {
            Ok(pauses) => {
                self.target.take_over_pauses(&pauses).map_err(|error| self.target.failed(&error))?;
            }
            Err(error) => self.tell(LossKind::Lost, format!("which sinks are paused: {error}")),
        }
        let version = schema::version(&from.conn).unwrap_or(schema::VERSION);
        for table in [PURGED].iter().chain(copy::of_later_schemas(version)) {
            let (key, mut rows) = (table.key(), Vec::new());
            let expected = from.largest(&[&format!("SELECT MAX({key}) FROM {}", table.name)]);
            let unread = read_range(&from.conn, table, key, 0, expected, &mut |row| rows.push(row));
            self.tell_unread(table, unread);
            for row in rows {
                if table.name == PURGED.name && self.is_delivery(&row)? {
                    continue;
                }
                if !self.put(table, &row)? {
                    self.tell(
                        LossKind::Lost,
                        format!("a row of {} whose fields cannot be what they are", table.name),
                    );
                }
            }
        }
        Ok(())
    }

    /// What is a delivery was not purged, whatever stands there beside it.
    fn is_delivery(&mut self, purged: &[Value]) -> Result<bool, CopyError> {
        let Some(Value::Integer(delivery)) = purged.first() else { return Ok(false) };
        let stands = self.target.has_delivery(*delivery).map_err(|error| self.target.failed(&error))?;
        if stands {
            let event = Key(*delivery).seq();
            self.tell(
                LossKind::Mended,
                format!("delivery {delivery} of event {event} was also a purged dead letter"),
            );
        }
        Ok(stands)
    }

    fn refusal(&mut self, row: &[Value]) -> Result<(), CopyError> {
        if self.put(&REFUSALS, row)? {
            self.count.refusals += 1;
        } else {
            self.tell(LossKind::Lost, "a refusal whose fields cannot be what they are");
        }
        Ok(())
    }

    /// What no recount can tell.
    fn figures(&mut self, from: &Scratch) -> Result<(), CopyError> {
        let duplicates = from.conn.query_row("SELECT duplicates FROM totals", [], |row| row.get::<_, i64>(0));
        let duplicates = duplicates.unwrap_or_else(|_| {
            self.tell(LossKind::Lost, "how many duplicates there were");
            0
        });
        let openings = from.meta("openings").clamp(1, 1 << 20);
        self.target
            .take_over(duplicates.max(0), self.count.last_seq, openings)
            .map_err(|error| self.target.failed(&error))
    }

    /// What is not there and was told by nobody: the journal counts what it holds.
    fn compare_with_counters(&mut self, from: &Scratch) -> Result<(), CopyError> {
        let counted = from.conn.query_row("SELECT events FROM totals", [], |row| row.get::<_, u64>(0));
        if let Ok(counted) = counted {
            let lost = counted.saturating_sub(self.count.events);
            let missing = lost.saturating_sub(self.count.told);
            if missing > 0 {
                let what = "events that the journal counts and that are not found";
                self.tell(LossKind::Lost, format!("{what}: {missing}"));
            }
            // Numbers that do not read may be of events that there never were.
            self.count.told = lost;
        }
        let refusals = from.conn.query_row("SELECT refusals FROM totals", [], |row| row.get::<_, u64>(0));
        let missing = refusals.unwrap_or(0).saturating_sub(self.count.refusals);
        if missing > 0 {
            let what = "refusals that the journal counts and that are not found";
            self.tell(LossKind::Lost, format!("{what}: {missing}"));
        }
        let found = self.target.deliveries().map_err(|error| self.target.failed(&error))?;
        for (sink, name, counted) in copy::counted(&from.conn).unwrap_or_default() {
            let [found, perhaps] = [&found, &self.perhaps].map(|of| of.get(&sink).copied().unwrap_or(0));
            let missing = u64::try_from(counted - (found - perhaps)).unwrap_or(0);
            // Each event that is lost has one at the most.
            if missing > self.count.told {
                let advice =
                    format!("`vodrelay replay --sink {name} --since TIME` delivers them, with others");
                let what =
                    format!("deliveries to {name} that the journal counts and that are not found: {missing}");
                self.tell(LossKind::Lost, format!("{what}; {advice}"));
            }
        }
        Ok(())
    }
}
