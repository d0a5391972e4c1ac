//! Arguments of `watch`.

use crate::cli::access::AccessArgs;

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
