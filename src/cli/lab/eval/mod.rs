//! `eval`: figures about a model, one file a subcommand.

mod ablation;
mod budget;
mod command;
mod detect;
mod infonce;
mod labels;
mod material;
mod probe;
mod soak;
mod streams;

pub(super) use command::{EvalCommand, run};
