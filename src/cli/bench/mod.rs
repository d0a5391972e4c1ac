//! `bench`: how long things take on this machine.

mod args;
mod hop;
#[cfg(feature = "http")]
mod pipeline;
#[cfg(feature = "http")]
mod share;

pub(super) use args::BenchArgs;

use super::args::{SetThreads, use_threads};
use crate::error::{Error, Result};

/// Runs it.
///
/// # Errors
/// When the model cannot be read, the device not opened, the daemon does not come up, or an argument is out of range.
pub(super) fn run(args: &BenchArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let seconds = args.seconds.is_none_or(|seconds| (0.05..=600.0).contains(&seconds));
    if args.streams.iter().any(|&n| !(1..=65_536).contains(&n)) || !seconds {
        return Err(Error::config(
            "--streams must lie within 1..=65536 and --seconds within 0.05..=600",
            "for example: cpc-stream bench --streams 1,8,32 --seconds 2",
        ));
    }
    if !args.pipeline && !args.share {
        return hop::run(args);
    }
    #[cfg(feature = "http")]
    return if args.share { share::run(args) } else { pipeline::run(args) };
    #[cfg(not(feature = "http"))]
    Err(Error::config("this build asks no daemon for its figures", "build with the feature `http`"))
}
