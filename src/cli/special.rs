//! Work on files that may be pipes: reading and writing them may take for ever.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::error::{Error, Result};

/// Interval of checks for the end.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long the work may take to notice a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What `work` gives. A read of a pipe without data, or the opening of one without a reader, cannot be interrupted, so that
/// work on such files (`special`) is left to itself a while after `stop`.
///
/// # Errors
/// Those of the work, and that it was stopped.
pub(super) fn until_stopped<T: Send + 'static>(
    stop: &AtomicBool,
    special: bool,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (end, ended) = bounded(1);
    thread::Builder::new()
        .name("work".to_owned())
        .spawn(move || drop(end.send(work())))
        .map_err(|e| Error::no_thread("work", &e))?;
    let mut asked: Option<Instant> = None;
    loop {
        match ended.recv_timeout(POLL_INTERVAL) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("the thread that works panicked"));
            }
            Err(RecvTimeoutError::Timeout) if special && stop.load(Ordering::Relaxed) => {
                if asked.get_or_insert_with(Instant::now).elapsed() >= STOP_TIMEOUT {
                    return Err(stopped_at_a_pipe());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The error where a pipe was not at its end.
pub(super) fn stopped_at_a_pipe() -> Error {
    Error::device(
        "asked to stop while an input or output was not at its end: nothing was written",
        "a pipe cannot be gone on with: give it again from its beginning, or use a file",
    )
}

/// Whether a path names a pipe, a device or a socket.
pub(super) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}
