//! The clock on the wall, off by what the harness says. The one that only goes ahead stays as it is.

use libc::{c_int, clockid_t, timespec};

use crate::ground::ground;
use crate::words::Word;

const SECOND: i64 = 1_000_000_000;

/// `clock_gettime(2)`.
///
/// # Safety
/// As that.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: what we were given is handed on.
    let answer = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as c_int;
    let is_of_the_wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    if answer != 0 || !is_of_the_wall {
        return answer;
    }
    let offset = ground().map_or(0, |ground| ground.told(Word::ClockOffset).cast_signed());
    if offset != 0 {
        // SAFETY: the system has just written it.
        let time = unsafe { &mut *time };
        let nanos = time.tv_nsec + offset.rem_euclid(SECOND);
        time.tv_sec += offset.div_euclid(SECOND) + nanos / SECOND;
        time.tv_nsec = nanos % SECOND;
    }
    answer
}
