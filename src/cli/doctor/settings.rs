//! The configuration.

use std::path::Path;

use super::super::run::RunArgs;
use super::finding::Finding;
use crate::capture;
use crate::config::Config;
use crate::units::counted;

const CHECK: &str = "configuration";
/// Where the package keeps it.
const OF_PACKAGE: &str = "/etc/cpc-stream/config.toml";

/// The finding, and the configuration if it is valid.
pub(super) fn check(args: &RunArgs) -> (Finding, Option<Config>) {
    let config = match args.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return (Finding::fail(CHECK, &error), None),
    };
    let mut sources = config.source.clone();
    if let Err(error) = capture::assign_ids(&mut sources) {
        return (Finding::fail(CHECK, &error), None);
    }
    let file = args
        .config
        .as_deref()
        .map_or_else(|| "no file, defaults and flags".to_owned(), |file| file.display().to_string());
    if sources.is_empty() {
        let fix = match args.config {
            None if Path::new(OF_PACKAGE).exists() => {
                format!("give `--config {OF_PACKAGE}` to look over the installed one, or `--device NAME`")
            }
            None => "give `--device NAME`, or `--config FILE` of a configuration with [[source]]".to_owned(),
            Some(_) => {
                "name one by [[source]], e.g. device = \"hw:0\"; `cpc-stream devices` lists inputs".to_owned()
            }
        };
        return (Finding::warn(CHECK, format!("{file}: no source of sound is named"), fix), Some(config));
    }
    let text = format!(
        "{file}: node {}, {} with {}, budget {} an hour",
        config.node_id(),
        counted(sources.len(), "source"),
        counted(streams(&config), "stream"),
        config.detect.events_per_hour,
    );
    (Finding::ok(CHECK, text), Some(config))
}

/// Streams that the sources give.
pub(super) fn streams(config: &Config) -> usize {
    config.source.iter().map(|source| source.channels.as_ref().map_or(1, Vec::len)).sum()
}
