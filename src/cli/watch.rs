//! `cpc-stream watch`: subscribes to a broker and shows what the daemons say, as it comes.

use super::access::AccessArgs;
use crate::error::Result;

/// Show events, availability and health of one node or of all, as they come.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchArgs {
    /// Broker to subscribe at: mqtt://host, mqtt://host:port or mqtt://user@host; mqtts:// for TLS
    #[arg(long, value_name = "URL")]
    pub broker: String,
    /// Node to watch [default: all]
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// First level or levels of the topics
    #[arg(long, value_name = "PREFIX", default_value = "cpc-stream")]
    pub prefix: String,
    /// As whom.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Show the scores of every second too
    #[arg(long)]
    pub scores: bool,
    /// Print JSON lines: {"topic":…,"retained":…,"payload":…}
    #[arg(long)]
    pub json: bool,
    /// End after this many lines
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// Prints until it is interrupted, its reader goes or `--count` is reached. Reconnects for ever once it was
/// connected.
///
/// # Errors
/// A configuration error for a bad address, node or password file; a broker error where no connection comes
/// about within 5 s.
#[cfg(feature = "mqtt")]
pub fn run(args: &WatchArgs) -> Result<()> {
    subscriber::run(args)
}

/// This program was built without MQTT.
///
/// # Errors
/// Always a configuration error.
#[cfg(not(feature = "mqtt"))]
pub fn run(_: &WatchArgs) -> Result<()> {
    Err(crate::error::Error::config(
        "this program was built without MQTT",
        "build it with the feature `mqtt`",
    ))
}

#[cfg(feature = "mqtt")]
mod lines;

#[cfg(feature = "mqtt")]
mod subscriber;
