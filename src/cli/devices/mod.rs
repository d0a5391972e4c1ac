//! `devices`: the inputs of this machine, and what they give.

mod list;
mod probe;

pub(super) use probe::{Sound, listen};

use crate::error::Result;

/// The inputs of this machine.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DevicesArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Print a JSON array in place of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Capture from devices for a moment, and say what they give: level, rate, losses.
    Probe(probe::ProbeArgs),
}

/// Runs it.
///
/// # Errors
/// When ALSA cannot be reached, this build cannot capture, or, where devices are probed, none of them gives sound.
pub(super) fn run(args: &DevicesArgs) -> Result<()> {
    match &args.what {
        None => list::run(args.json),
        Some(What::Probe(args)) => probe::run(args),
    }
}
