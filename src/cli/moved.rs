//! Subcommands that went to `cpc-lab`. Their old form runs that program for one version more, where it is installed.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::mark_of_failure;

const PROGRAM: &str = "cpc-lab";

/// The arguments of a command of before, handed on as they are.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct MovedArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// `cpc-lab` beside this program, else the first one on `PATH`.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(PROGRAM));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM));
    beside.into_iter().chain(named).find(|file| file.is_file())
}

/// Replaces this process by `cpc-lab COMMAND`, with a line on stderr that says so.
///
/// # Errors
/// When `cpc-lab` is not installed or does not start.
pub(super) fn run(command: &str, args: &MovedArgs) -> Result<()> {
    let Some(program) = program() else {
        return Err(Error::config(
            format!("`{command}` is a command of cpc-lab, which is not installed beside this program"),
            format!(
                "`cargo install --path . --locked --features lab` in the sources, then `cpc-lab {command}`"
            ),
        ));
    };
    // stderr may be closed
    let mark = mark_of_failure();
    let _ = writeln!(
        std::io::stderr(),
        "{mark}warning: `cpc-stream {command}` is `cpc-lab {command}` now; the old form goes with the next version"
    );
    let failed = Command::new(&program).arg(command).args(&args.arguments).exec();
    Err(Error::new(
        ErrorKind::Internal,
        format!("{} does not start: {failed}", program.display()),
        "install it again",
    ))
}
