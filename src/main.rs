//! The `cpc-stream` program: the daemon and what a box needs around it.

mod process;

use std::process::ExitCode;

fn main() -> ExitCode {
    cpc_stream::internal::telemetry::on_freed_memory(process::trim);
    cpc_stream::internal::cli::main(process::set_threads)
}
