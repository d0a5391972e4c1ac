//! `cluster`: the workers and their streams.

use std::path::PathBuf;

use figment::value::Dict;

use super::args::stdout;
use crate::cluster::{ClusterReport, status};
use crate::config::load;
use crate::error::{Error, Result};

/// Commands of a cluster.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum ClusterCommand {
    /// Show the worker and the lag of each stream, and the events that wait for the broker.
    Status(StatusArgs),
}

/// Which cluster.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StatusArgs {
    /// Configuration file of a worker.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Servers, where the configuration names none or others.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the servers and prints a line a worker and a line a stream.
///
/// # Errors
/// When no cluster is named, or the servers do not answer.
pub(super) fn run(command: &ClusterCommand) -> Result<()> {
    let ClusterCommand::Status(args) = command;
    let mut config = load(args.config.as_deref(), Dict::new())?.config;
    if args.url.is_some() {
        config.cluster.url.clone_from(&args.url);
    }
    if !config.cluster.is_on() {
        return Err(Error::config(
            "no cluster is configured",
            "give `--config FILE` of a configuration with `url` in [cluster], or `--url nats://HOST:4222`",
        ));
    }
    let report = status(&config.cluster, &config.publish.prefix)?;
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
        return stdout().line(format_args!("{text}"));
    }
    print(&report)
}

fn print(report: &ClusterReport) -> Result<()> {
    let mut out = stdout();
    for (node, worker) in &report.workers {
        let figures = &worker.figures;
        out.line(format_args!(
            "worker {node}: {} of {} streams, model {}; documents stored {}, repeated {}; snapshots {}; writes fenced {}; streams taken {}, leases lost {}, inexact {}",
            figures.streams,
            worker.max_streams,
            worker.model,
            figures.stored,
            figures.repeated,
            figures.snapshots,
            figures.fenced,
            figures.taken,
            figures.lost,
            figures.inexact
        ))?;
    }
    for (stream, line) in &report.streams {
        let owner = line.owner.as_deref().unwrap_or("nobody");
        let revision = line.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string());
        let lag = line.lag_s.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.2} s"));
        let replay = line.replay_s.map_or_else(|| "-".to_owned(), |replay| format!("{replay:.1} s"));
        let snapshot = match (line.snapshot_age_s, line.snapshot_bytes) {
            (Some(age), Some(bytes)) => format!("snapshot of {} kB, {age:.1} s old", bytes.div_ceil(1000)),
            _ => "no snapshot yet".to_owned(),
        };
        // its worker writes down what it has received once a session of the microphone has begun
        if line.owner.is_some() && line.sequence.is_none() {
            out.line(format_args!("stream {stream}: held by {owner} (lease {revision}); no sound yet"))?;
            continue;
        }
        out.line(format_args!(
            "stream {stream}: analysed by {owner} (lease {revision}), {lag} behind; {snapshot}; a takeover replays {replay}"
        ))?;
    }
    let waiting = report.events_waiting.map_or_else(
        || "nobody carries them to MQTT".to_owned(),
        |n| format!("{n} of them wait for the MQTT broker"),
    );
    out.line(format_args!("documents kept: {}; {waiting}", report.events))?;
    out.line(format_args!("sound kept: {} chunks, {} bytes", report.sound.0, report.sound.1))
}
