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
    let mut command = C::command().disable_help_subcommand(true);
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|e| unwritten(&e))?;
        return clap_mangen::generate_to(command, folder).map_err(|e| unwritten(&e));
    }
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|e| unwritten(&e))?;
    stdout().text(format_args!("{}", String::from_utf8_lossy(&page)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_command_has_a_page_and_help_has_none() {
        let folder = tempfile::tempdir().unwrap();
        man::<Cli>(&ManArgs { out: Some(folder.path().to_owned()) }).unwrap();
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        for page in ["cpc-stream.1", "cpc-stream-score.1", "cpc-stream-mqtt-test.1"] {
            assert!(names.iter().any(|name| name == page), "{page} is not among {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
    }
}
