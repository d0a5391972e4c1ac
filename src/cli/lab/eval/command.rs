//! The subcommands of `eval`.

use super::{ablation, budget, detect, infonce, labels, probe, soak};
use crate::cli::args::SetThreads;
use crate::error::Result;

/// Commands of evaluation.
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum EvalCommand {
    /// InfoNCE loss and accuracy for each horizon, beside what guessing gives.
    Infonce(infonce::InfonceArgs),
    /// Whether contexts stay bounded over hours: the same passage at the start and again at the end.
    Soak(soak::SoakArgs),
    /// Variants of training at the same cost, compared on what training did not hear.
    Ablation(ablation::AblationArgs),
    /// False alarms an hour on sound without events, beside the budget.
    Budget(budget::BudgetArgs),
    /// Rare events in long backgrounds: areas, recall, false alarms and delay, beside baselines.
    Detect(detect::DetectArgs),
    /// Linear probes on frozen features: classes, words and speakers, beside MFCC, log-mel and random weights.
    Probe(probe::ProbeArgs),
    /// Sounds that are known again by one example or five, beside MFCC, log-mel and random weights.
    Labels(labels::LabelsArgs),
}

/// Runs it.
///
/// # Errors
/// When the model or the data is not what it should be.
pub(in crate::cli) fn run(command: &EvalCommand, set: SetThreads) -> Result<()> {
    match command {
        EvalCommand::Infonce(args) => infonce::run(args, set),
        EvalCommand::Soak(args) => soak::run(args, set),
        EvalCommand::Ablation(args) => ablation::run(args, set),
        EvalCommand::Budget(args) => budget::run(args, set),
        EvalCommand::Detect(args) => detect::run(args, set),
        EvalCommand::Probe(args) => probe::run(args, set),
        EvalCommand::Labels(args) => labels::run(args, set),
    }
}
