//! Helpers that several commands share.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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

/// True from the first SIGINT or SIGTERM on.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // the second one ends the process at once
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|e| Error::internal(format!("signal {signal} cannot be caught: {e}")))?;
    }
    Ok(flag)
}

/// Set by each SIGHUP.
pub(super) fn hang_up_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&flag))
        .map_err(|e| Error::internal(format!("SIGHUP cannot be caught: {e}")))?;
    Ok(flag)
}
