//! `labels`: the sounds that operators have named, while the daemon does not run.

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::bounded;
use serde_json::{Value, json};

use super::args::stdout;
use super::outbox::{ExportArgs, ShowArgs, StateDirArgs};
use crate::error::{Error, Result};
use crate::event_store::{EventStore, LabelChange, LabelFile, Recorder};
use crate::output_file::write_whole;

/// Longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest file of labels.
const LARGEST: u64 = 64 << 20;

/// Commands of labels.
#[derive(Debug, clap::Subcommand)]
pub(super) enum LabelsCommand {
    /// List the labels, their examples, and how often each was heard.
    List(ShowArgs),
    /// Write all examples as a JSON file.
    Export(ExportArgs),
    /// Add the examples of a file to those that are here.
    Import(ImportArgs),
    /// Give a label another name; where that exists, both become one.
    Rename(RenameArgs),
    /// Forget a label with all of its examples.
    Delete(DeleteArgs),
}

/// What to read.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A file that `labels export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: StateDirArgs,
}

/// Which label, and its new name.
#[derive(Debug, clap::Args)]
pub(super) struct RenameArgs {
    /// The label
    #[arg(value_name = "LABEL")]
    label: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: StateDirArgs,
}

/// Which label.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// The label
    #[arg(value_name = "LABEL")]
    label: String,
    #[command(flatten)]
    place: StateDirArgs,
}

/// Runs it.
///
/// # Errors
/// A configuration error where there is no event store, no such label, or the daemon runs.
pub(super) fn run(command: &LabelsCommand) -> Result<()> {
    match command {
        LabelsCommand::List(args) => list(args),
        LabelsCommand::Export(args) => export(args),
        LabelsCommand::Import(args) => {
            let name = args.file.display();
            let unread = |e: std::io::Error| {
                Error::config(format!("cannot read {name}: {e}"), "name a file that `labels export` wrote")
            };
            if std::fs::metadata(&args.file).map_err(unread)?.len() > LARGEST {
                return Err(Error::config(
                    format!("{name} is too large for a file of labels"),
                    "name a file that `labels export` wrote",
                ));
            }
            let file = LabelFile::read(&std::fs::read(&args.file).map_err(unread)?)
                .map_err(|error| error.context(name.to_string()))?;
            let done = change(&args.place, LabelChange::Merge(file))?;
            stdout().line(format_args!("{} added, {} known before", examples(&done["added"]), done["known"]))
        }
        LabelsCommand::Rename(RenameArgs { label, name, place }) => {
            let done = change(place, LabelChange::Rename { from: label.clone(), to: name.clone() })?;
            stdout().line(format_args!("{label} is {name} now ({})", examples(&done["examples"])))
        }
        LabelsCommand::Delete(DeleteArgs { label, place }) => {
            let done = change(place, LabelChange::Delete(label.clone()))?;
            stdout().line(format_args!("{label} is forgotten ({})", examples(&done["examples"])))
        }
    }
}

/// The store of a daemon that does not run; one that is there already.
fn open(place: &StateDirArgs) -> Result<(EventStore, Recorder)> {
    let (folder, config) = place.folder_and_config()?;
    if !folder.join("events.redb").is_file() {
        return Err(Error::config(
            format!("there is no event store in {}", folder.display()),
            "name the daemon's state folder with --state-dir",
        ));
    }
    let (store, recorder) = EventStore::start(config.events, Some(&folder))?;
    if recorder.health().degraded {
        return Err(Error::config(
            format!("the event store in {} cannot be used now", folder.display()),
            "stop the daemon first, or change labels over its page or MQTT",
        ));
    }
    Ok((store, recorder))
}

fn change(place: &StateDirArgs, change: LabelChange) -> Result<Value> {
    let (_, recorder) = open(place)?;
    let (answer, done) = bounded(1);
    recorder.change_labels(change, 0, answer)?;
    let slow = |_| Error::broker("the event store does not answer", "see whether the disk is slow or full");
    let done = done.recv_timeout(PATIENCE).map_err(slow)?.1?;
    if recorder.health().degraded {
        return Err(Error::broker("the disk refuses the change", "free some space, then try it again"));
    }
    Ok(done)
}

fn list(args: &ShowArgs) -> Result<()> {
    let (store, _) = open(&args.place)?;
    let labels = store.labels();
    let mut out = stdout();
    if args.json {
        return out.line(format_args!("{:#}", json!({ "labels": labels })));
    }
    if labels.is_empty() {
        return out.line(format_args!("no labels yet; give an event one on the page"));
    }
    for info in labels {
        let heard = if info.heard == 1 { "once".to_owned() } else { format!("{} times", info.heard) };
        out.line(format_args!("{}: {}, heard {heard}", info.label, examples(&json!(info.examples))))?;
    }
    Ok(())
}

fn export(args: &ExportArgs) -> Result<()> {
    let (store, _) = open(&args.place)?;
    let file = store.label_file();
    let text = serde_json::to_string(&file).map_err(|e| Error::internal(e.to_string()))?;
    let Some(path) = &args.out else { return stdout().line(format_args!("{text}")) };
    write_whole(path, text.as_bytes()).map_err(|e| {
        Error::config(
            format!("cannot write {}: {e}", path.display()),
            "name a file in a folder that exists and has room with --out",
        )
    })?;
    stdout().line(format_args!("{} in {}", examples(&json!(file.examples.len())), path.display()))
}

/// `1 example`, `7 examples`.
fn examples(count: &Value) -> String {
    let count = count.as_u64().unwrap_or(0);
    format!("{count} example{}", if count == 1 { "" } else { "s" })
}
