//! `completions` and `man`: what packages put beside the program.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::stdout;
use crate::error::{Error, Result};

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Shell to complete commands in.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for the program and for each of its commands into this folder, not the first of them to stdout.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn unwritten(error: &std::io::Error) -> Error {
    Error::internal(format!("the pages cannot be written: {error}"))
}

/// Prints what a shell reads to complete our commands.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn completions<C: CommandFactory>(args: &CompletionsArgs) -> Result<()> {
    let (mut text, mut command) = (Vec::new(), C::command());
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    stdout().text(format_args!("{}", String::from_utf8_lossy(&text)))
}

/// Prints the page of the program, or writes all pages into a folder.
///
/// # Errors
/// When they cannot be written.
pub(super) fn man<C: CommandFactory>(args: &ManArgs) -> Result<()> {
    let mut command = C::command();
    command.build();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|e| unwritten(&e))?;
        return clap_mangen::generate_to(command, folder).map_err(|e| unwritten(&e));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|e| unwritten(&e))?;
    stdout().text(format_args!("{}", String::from_utf8_lossy(&page)))
}
