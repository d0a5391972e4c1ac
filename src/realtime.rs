//! Real-time priority and locked memory, where they are asked for and allowed.
//!
//! Both are wishes: a machine that refuses them gets one warning, and everything runs as without them.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit, nice};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Largest real-time priority.
pub const MAX_PRIORITY: u8 = 99;

/// Of a thread that gives way: it gets about a tenth of a core that another wants.
const NICENESS: i32 = 10;

/// Gives the calling thread the real-time priority `priority` (1 to 99, first in first out); 0 asks for nothing.
/// Neither allocates nor locks where it is granted, so that an audio callback may call it.
///
/// # Errors
/// The kernel's error; most often the limit RTPRIO is 0.
pub fn promote(priority: u8) -> Result<(), String> {
    if priority == 0 {
        return Ok(());
    }
    let value = ThreadPriorityValue::try_from(priority.min(MAX_PRIORITY)).map_err(|e| e.to_string())?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy)
        .map_err(|e| e.to_string())
}

/// Lets other threads go before the calling one where there are fewer cores than work.
///
/// # Errors
/// The kernel's error.
pub fn give_way() -> Result<(), String> {
    nice(NICENESS).map(drop).map_err(|e| e.to_string())
}

/// Keeps what the process has in memory now out of the swap, and all that it takes later where the limit MEMLOCK is
/// infinite: below a limit, a later allocation would fail.
///
/// # Errors
/// The kernel's error; most often the limit MEMLOCK is too small.
pub fn lock_memory() -> Result<(), String> {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let flags =
        if unlimited { MlockAllFlags::CURRENT | MlockAllFlags::FUTURE } else { MlockAllFlags::CURRENT };
    mlockall(flags).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_nothing_done() {
        assert_eq!(promote(0), Ok(()));
    }

    #[test]
    fn a_promotion_is_granted_or_refused_with_a_reason() {
        let outcome = std::thread::spawn(|| promote(1).map(|()| thread_priority::thread_schedule_policy()));
        match outcome.join().unwrap() {
            Ok(policy) => assert!(matches!(policy, Ok(ThreadSchedulePolicy::Realtime(_)))),
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
}
