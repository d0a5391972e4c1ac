//! `config`: looking at the configuration.

mod schema;

use super::args::stdout;
use super::run::RunArgs;
use crate::error::{Error, Result};

/// Commands of the configuration.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the effective configuration as TOML.
    Show(Box<ShowArgs>),
    /// Print a JSON Schema of configuration files, for editors and fleet tools.
    Schema,
}

/// The effective configuration: defaults, file, environment and flags.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Print where each value came from.
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs it.
///
/// # Errors
/// When the configuration is wrong.
pub(super) fn run(command: &ConfigCommand) -> Result<()> {
    let args = match command {
        ConfigCommand::Show(args) => args,
        ConfigCommand::Schema => return stdout().line(format_args!("{:#}", schema::schema())),
    };
    let loaded = args.run.load()?;
    let mut out = stdout();
    if args.origin {
        for (key, value, origin) in loaded.origins() {
            out.line(format_args!("{key} = {value}    # {origin}"))?;
        }
        return Ok(());
    }
    let text = toml::to_string(&loaded.config).map_err(|e| Error::internal(e.to_string()))?;
    out.text(format_args!("{text}"))
}
