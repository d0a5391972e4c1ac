//! The `cpc-stream` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cpc_stream::cli::main()
}
