//! The faults: each begins, lasts a while, and ends, in the middle of the load, and tells what it struck.

mod disk;
mod machine;
mod process;
mod sink;

use std::path::Path;

use rand::seq::IndexedRandom;

use crate::receiver::Manner;
use crate::rig::Rig;
use crate::stage::MIN_FREE;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9.
    Kill,
    /// SIGTERM, and the next process.
    Restart,
    /// One relay of two behind one address ends, by kill -9 or SIGTERM.
    OneOfTwo,
    /// The machine loses its power: what was not synced is gone, in part or in whole, torn in the middle of pages.
    PowerCut,
    /// A sync says that it failed.
    SyncError,
    /// Writes say that there is no room, for a while.
    NoRoom,
    /// The disk has less room than `min_free`, for a while.
    LittleRoom,
    /// Everything below `data_dir` can only be read, for a while.
    ReadOnly,
    /// An allocation fails.
    NoMemory,
    /// There are no descriptors left, for a while.
    NoDescriptors,
    /// The clock on the wall is minutes off, within the skew that a proof may have.
    ClockDrifts,
    /// It jumps by hours or days, ahead or back, and back again.
    ClockJumps,
    /// No name is found, for a while.
    NoNames,
    /// One service misbehaves in each way in turn: gone, down, hanging, slow, late, busy.
    SinkMisbehaves,
    /// Any of the above but those that need a stage of their own.
    Any,
}

/// Those that can strike one after the other on the same stage.
const MIXED: [Fault; 10] = [
    Fault::Kill,
    Fault::Restart,
    Fault::SyncError,
    Fault::NoRoom,
    Fault::ReadOnly,
    Fault::NoMemory,
    Fault::NoDescriptors,
    Fault::ClockDrifts,
    Fault::NoNames,
    Fault::SinkMisbehaves,
];

impl Fault {
    /// How the service behaves on whose account nothing is to strike.
    pub(crate) const fn manner(self) -> Manner {
        match self {
            // Names are asked for where there is no connection.
            Self::NoNames | Self::Any => Manner::Closing,
            _ => Manner::Flaky,
        }
    }

    /// Whether a sender may find that its callback was not taken in three attempts.
    pub(crate) fn may_cost_callbacks(self) -> bool {
        let never = [Self::Restart, Self::OneOfTwo, Self::ClockDrifts, Self::NoNames, Self::SinkMisbehaves];
        !never.contains(&self)
    }

    /// Strikes once; how many requests were in flight, 0 where it struck nothing.
    pub(crate) async fn strike(self, rig: &mut Rig, turn: usize) -> Result<usize, String> {
        match self {
            Self::Kill => process::kill(rig).await,
            Self::Restart => process::restart(rig).await,
            Self::OneOfTwo => process::one_of_two(rig, turn).await,
            Self::PowerCut => disk::power_cut(rig).await,
            Self::SyncError => disk::sync_error(rig).await,
            Self::NoRoom => disk::no_room(rig).await,
            Self::LittleRoom => disk::little_room(rig).await,
            Self::ReadOnly => disk::read_only(rig).await,
            Self::NoMemory => machine::no_memory(rig).await,
            Self::NoDescriptors => machine::no_descriptors(rig).await,
            Self::ClockDrifts => machine::clock_drifts(rig).await,
            Self::ClockJumps => machine::clock_jumps(rig, turn).await,
            Self::NoNames => machine::no_names(rig).await,
            Self::SinkMisbehaves => sink::misbehaves(rig, turn).await,
            Self::Any => {
                let next = *MIXED.choose(&mut rig.dice).ok_or("no fault")?;
                Box::pin(next.strike(rig, turn)).await
            }
        }
    }

    /// Does what is left to people once the load is over.
    pub(crate) async fn mend(self, rig: &mut Rig) -> Result<Mended, String> {
        if self != Self::ClockJumps {
            return Ok(Mended::Nothing);
        }
        machine::accept_what_the_clock_refused(rig).await?;
        Ok(Mended::AllThatWasSent)
    }

    /// What the journal's `min_free` is to be, in bytes.
    pub(crate) fn min_free(self, folder: &Path) -> Result<u64, String> {
        if self == Self::LittleRoom { disk::almost_all_that_is_free(folder) } else { Ok(MIN_FREE) }
    }
}

/// What is delivered in the end, though its sender has given it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    /// Nothing of it need be.
    Nothing,
    /// All of it.
    AllThatWasSent,
}
