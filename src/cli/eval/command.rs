//! The subcommands of `eval`.

use super::super::args::SetThreads;
use super::{infonce, probe};
use crate::error::Result;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum EvalCommand {
    /// InfoNCE loss and accuracy for each horizon, beside what guessing gives.
    Infonce(infonce::InfonceArgs),
    /// Linear probes on frozen features: classes, words and speakers, beside MFCC, log-mel and random weights.
    Probe(probe::ProbeArgs),
}

/// Runs it.
///
/// # Errors
/// When the model or the data is not what it should be.
pub(in crate::cli) fn run(command: &EvalCommand, set: SetThreads) -> Result<()> {
    match command {
        EvalCommand::Infonce(args) => infonce::run(args, set),
        EvalCommand::Probe(args) => probe::run(args, set),
    }
}
