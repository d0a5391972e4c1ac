//! The checks, in their order.

use super::super::run::RunArgs;
use super::finding::{DoctorReport, Finding};
use super::{broker, clock, cluster, gpu, http, limits, model, settings, sources, state, unit};
use crate::error::Result;

/// Which install to look over.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const FIRST_STEPS: [&str; 5] = [
    "cpc-stream demo                               see what it does, without microphone and broker",
    "cpc-stream devices                            the inputs of this machine, and their names",
    "cpc-stream --device NAME                      listen, events as JSON lines",
    "cpc-stream mqtt test --broker mqtt://HOST     try the broker",
    "cpc-stream doctor --config FILE               look over it all; /usr/share/doc/cpc-stream/examples/minimal.toml is one to begin with",
];

/// Looks at everything, prints a line each, and what to do.
///
/// # Errors
/// An error of the kind of the first failure.
pub(in crate::cli) fn run(args: &DoctorArgs) -> Result<()> {
    let mut report = DoctorReport::new(args.json);
    let (finding, config) = settings::check(&args.run);
    report.add(finding)?;
    match config {
        Some(config) => {
            let daemon = state::check(&config, &args.run, &mut report)?;
            let model = model::check(&config, &mut report)?;
            gpu::check(&config, model, &mut report)?;
            sources::check(&config, daemon.as_ref(), &mut report)?;
            report.add(broker::check(&config))?;
            cluster::check(&config, &mut report)?;
            limits::check(&config.capture, &mut report)?;
            http::check(&config.http, daemon.is_some(), &mut report)?;
            if config.source.is_empty() {
                report.next = FIRST_STEPS.to_vec();
            }
        }
        None => report.add(Finding::warn(
            "the rest",
            "what the configuration names was not looked at",
            "correct the configuration first, then call doctor again",
        ))?,
    }
    report.add(clock::check())?;
    report.add(unit::check())?;
    report.end()
}
