//! `outbox`: what waits for the broker, while the daemon does not run.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::stdout;
use crate::config::{Config, load};
use crate::error::{Error, Result};
use crate::output_file::{self, OutputFile};
use crate::publish::{Inspection, export, inspect};
use crate::units::counted;

/// Commands of the outbox.
#[derive(Debug, clap::Subcommand)]
pub(super) enum OutboxCommand {
    /// Count what is in it and check it; exit code 5 where something is wrong.
    Verify(ShowArgs),
    /// Write the events that wait as JSON lines; nothing is taken out.
    Export(ExportArgs),
}

/// Whose outbox.
#[derive(Debug, clap::Args)]
pub(super) struct StateDirArgs {
    /// The daemon's state folder [default: as for the daemon]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The daemon's configuration file, where that names the folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The state folder to look into, and the output format.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) place: StateDirArgs,
    /// Print a JSON object in place of lines.
    #[arg(long)]
    pub(super) json: bool,
}

/// Where to write.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub(super) place: StateDirArgs,
    /// File to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

impl StateDirArgs {
    fn folder(&self) -> Result<PathBuf> {
        Ok(self.folder_and_config()?.0)
    }

    /// The state folder, and the configuration of the daemon.
    pub(super) fn folder_and_config(&self) -> Result<(PathBuf, Config)> {
        let config: Config = load(self.config.as_deref(), figment::value::Dict::new())?.config;
        let folder = match &self.state_dir {
            Some(dir) => dir.clone(),
            None => config.state_folder()?,
        };
        Ok((folder, config))
    }
}

/// Runs it.
///
/// # Errors
/// A configuration error where there is no outbox or the daemon runs; a broker error where it is damaged.
pub(super) fn run(command: &OutboxCommand) -> Result<()> {
    match command {
        OutboxCommand::Verify(args) => verify(args),
        OutboxCommand::Export(args) => write(args),
    }
}

fn verify(args: &ShowArgs) -> Result<()> {
    let folder = args.place.folder()?;
    let Inspection { tally, records, gaps, streams, oldest, faults, moved_aside } = inspect(&folder)?;
    let mut out = stdout();
    if args.json {
        let found = json!({
            "ok": faults.is_empty(),
            "accepted": tally.accepted,
            "acknowledged": tally.acked,
            "pending": tally.pending(),
            "dropped": tally.dropped,
            "bytes": tally.bytes,
            "documents": records,
            "gaps": gaps,
            "oldest": oldest,
            "streams": streams,
            "moved_aside": moved_aside,
            "faults": faults,
        });
        out.line(format_args!("{found:#}"))?;
        return faults.first().map_or(Ok(()), |first| Err(unsound(&folder, first)));
    }
    out.line(format_args!(
        "accepted {} = acknowledged {} + pending {} + dropped {}",
        tally.accepted,
        tally.acked,
        tally.pending(),
        tally.dropped
    ))?;
    out.line(format_args!(
        "pending: {} ({gaps} of them gaps), {} bytes",
        counted(records, "document"),
        tally.bytes
    ))?;
    if let Some(oldest) = oldest {
        out.line(format_args!("the oldest was accepted at {oldest}"))?;
    }
    for (stream, count) in &streams {
        out.line(format_args!("  {stream}: {count}"))?;
    }
    for file in &moved_aside {
        out.line(format_args!("damaged earlier, moved aside: {}", file.display()))?;
    }
    match faults.split_first() {
        None => out.line(format_args!("ok")),
        Some((first, rest)) => {
            for fault in rest {
                out.line(format_args!("wrong: {fault}"))?;
            }
            Err(unsound(&folder, first))
        }
    }
}

fn unsound(folder: &Path, first: &str) -> Error {
    Error::broker(
        format!("the outbox in {} is not sound: {first}", folder.display()),
        "save what can be read with `cpc-stream outbox export`, then move outbox.redb away",
    )
}

fn write(args: &ExportArgs) -> Result<()> {
    let folder = args.place.folder()?;
    let Some(path) = &args.out else {
        let out = BufWriter::with_capacity(1 << 16, IgnoreBrokenPipe(std::io::stdout().lock()));
        return export(&folder, &mut { out }).map(drop);
    };
    let failed = |e: std::io::Error| {
        Error::config(
            format!("cannot write {}: {e}", path.display()),
            "name a file in a folder that exists and has room with --out",
        )
    };
    let mut output = OutputFile::create(path).map_err(failed)?;
    let mut out = BufWriter::new(output.take().map_err(failed)?);
    let count = export(&folder, &mut out)?;
    out.flush().and_then(|()| output_file::sync(out.get_ref())).map_err(failed)?;
    output.keep().map_err(failed)?;
    stdout().line(format_args!("{} in {}", counted(count, "document"), path.display()))
}

/// A reader that has gone has read enough.
struct IgnoreBrokenPipe<W>(W);

impl<W: Write> Write for IgnoreBrokenPipe<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().or_else(|error| match error.kind() {
            ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        })
    }
}
