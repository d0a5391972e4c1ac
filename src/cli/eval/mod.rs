//! `eval`: figures about a model, one file a subcommand.

mod command;
mod infonce;
mod probe;

pub(super) use command::{EvalCommand, run};
