//! The `cpc-lab` program: models are trained, imported, measured and used to encode recordings.

#[path = "../process.rs"]
mod process;

use std::process::ExitCode;

fn main() -> ExitCode {
    cpc_stream::internal::telemetry::on_freed_memory(process::trim);
    cpc_stream::internal::cli::lab::main(process::set_threads)
}
