//! Helpers that several commands share.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use candle_core::Device;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{self, Cpc, Manifest};
use crate::telemetry::{Column, columns, folded, head, row};

/// Lines on stdout. A closed pipe is no failure: whoever read has read enough.
pub(super) struct Output(std::io::Stdout);

/// Stdout.
pub(super) fn stdout() -> Output {
    Output(std::io::stdout())
}

impl Output {
    /// Writes a line.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) -> Result<()> {
        self.text(format_args!("{line}\n"))
    }

    /// Writes lines for a person, which keep to the width of a terminal.
    pub(super) fn prose(&mut self, text: fmt::Arguments<'_>) -> Result<()> {
        self.line(format_args!("{}", folded(&text.to_string(), columns())))
    }

    /// Writes the titles of a table, where it is as wide as its rows.
    pub(super) fn head(&mut self, of: &[Column]) -> Result<()> {
        head(of, columns()).map_or(Ok(()), |head| self.line(format_args!("{head}")))
    }

    /// Writes a row of a table.
    pub(super) fn row(&mut self, of: &[Column], cells: &[String]) -> Result<()> {
        self.line(format_args!("{}", row(of, cells, columns())))
    }

    /// Writes text as it is, at once.
    pub(super) fn text(&mut self, text: fmt::Arguments<'_>) -> Result<()> {
        let written = self.0.write_fmt(text).and_then(|()| self.0.flush());
        took(written)
    }
}

/// What became of output on stdout. Who stops reading it, as `head` does, has what he wanted.
pub(super) fn took(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Internal,
            format!("stdout cannot be written: {e}"),
            "free space where the output goes, or send it elsewhere",
        )),
        _ => Ok(()),
    }
}

/// The model at `path`, or the built-in one, on the CPU.
pub(super) fn open_model(path: Option<&Path>) -> Result<(Manifest, Arc<Cpc>)> {
    model::open(path, &Device::Cpu)
}

/// How the program tells candle its number of threads; only `main` can, since it changes the environment.
pub type SetThreads = fn(usize);

/// Checks the number of threads of the matrix products and sets it, before the first of them.
pub(super) fn use_threads(threads: usize, set: SetThreads) -> Result<()> {
    if !(1..=256).contains(&threads) {
        return Err(Error::config(
            format!("--threads is {threads}, expected 1 to 256"),
            "give the cores to use",
        ));
    }
    set(threads);
    // a pool that exists already keeps its size, which is no reason to stop
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    Ok(())
}

/// Exit code of a process that a second signal stops before it has drained.
const SECOND_SIGNAL: i32 = 130;
/// A signal that follows the first this soon is the same one: `timeout` sends it to the process and to its group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// True from the first SIGINT or SIGTERM on. One that comes a second later or more ends the process at once.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>> {
    stop_flag_of(&[SIGINT, SIGTERM], SAME_SIGNAL)
}

fn stop_flag_of(signals: &[i32], same: Duration) -> Result<Arc<AtomicBool>> {
    let (flag, armed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (mut first, wake) =
        std::io::pipe().map_err(|e| Error::internal(format!("no pipe for signals: {e}")))?;
    for &signal in signals {
        signal_hook::flag::register_conditional_shutdown(signal, SECOND_SIGNAL, Arc::clone(&armed))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .and_then(|_| signal_hook::low_level::pipe::register(signal, wake.try_clone()?))
            .map_err(|e| Error::internal(format!("signal {signal} cannot be caught: {e}")))?;
    }
    let arm = move || {
        if first.read_exact(&mut [0]).is_ok() {
            thread::sleep(same);
            armed.store(true, Ordering::Relaxed);
        }
    };
    let name = "signals";
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(64 * 1024);
    thread.spawn(arm).map(|_| flag).map_err(|e| Error::no_thread(name, &e))
}

/// Set by each SIGHUP.
pub(super) fn hang_up_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&flag))
        .map_err(|e| Error::internal(format!("SIGHUP cannot be caught: {e}")))?;
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::SIGUSR2;
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn a_signal_that_comes_twice_at_once_is_one() {
        let flag = stop_flag_of(&[SIGUSR2], Duration::from_secs(600)).unwrap();
        assert!(!flag.load(Ordering::Relaxed));
        for _ in 0..3 {
            raise(SIGUSR2).unwrap();
        }
        assert!(flag.load(Ordering::Relaxed), "and this process is still here");
    }
}
