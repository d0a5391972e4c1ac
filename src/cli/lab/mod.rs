//! The command line of `cpc-lab`, one file a subcommand.

mod bar;
mod encode;
mod eval;
mod export;
mod import;
mod train;

use std::process::ExitCode;

use super::args::SetThreads;
use super::man_and_completions::{self, CompletionsArgs, ManArgs};
use super::{exit_code, parse};
use crate::error::Result;
use crate::telemetry::{LogFormat, init_logs};

/// Trains models, imports, exports and measures them, and writes their features of recordings.
#[derive(Debug, clap::Parser)]
#[command(name = "cpc-lab", version, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done, 2 usage or config, 3 recordings, 4 model, 70 internal.")]
struct Lab {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Train a model on a folder of recordings.
    Train(train::TrainArgs),
    /// Figures about a model.
    #[command(subcommand)]
    Eval(eval::EvalCommand),
    /// Make a model of a PyTorch checkpoint of CPC_audio.
    Import(import::ImportArgs),
    /// Write a model as ONNX graphs, for programs without this one.
    Export(export::ExportArgs),
    /// Write z and c of recordings, for other programs.
    Encode(encode::EncodeArgs),
    /// Print what a shell reads to complete commands (bash, zsh, fish, elvish, powershell).
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands into a folder.
    Man(ManArgs),
}

/// Parses the command line of `cpc-lab`, runs the command, prints a failure as a line of cause and a line of fix, and gives the exit
/// code. `set_threads` is called at most once, before any thread is started.
#[must_use]
pub fn main(set_threads: SetThreads) -> ExitCode {
    exit_code(parse_and_run(set_threads))
}

fn parse_and_run(set: SetThreads) -> Result<()> {
    let Some(lab) = parse::<Lab>()? else { return Ok(()) };
    init_logs("info", LogFormat::Text);
    match lab.command {
        Command::Train(args) => train::run(&args, set),
        Command::Eval(command) => eval::run(&command, set),
        Command::Import(args) => import::run(&args, set),
        Command::Export(args) => export::run(&args),
        Command::Encode(args) => encode::run(&args, set),
        Command::Completions(args) => man_and_completions::completions::<Lab>(&args),
        Command::Man(args) => man_and_completions::man::<Lab>(&args),
    }
}
