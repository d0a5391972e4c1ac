//! Where log lines go, and in what form.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line, with `timestamp`, `level` and `fields.message`, for programs that collect logs.
    Json,
}

/// The log: the `[log]` table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The form of its lines.
    pub format: LogFormat,
}

/// Sends log lines of `level` (unless `RUST_LOG` says otherwise) to stderr; text in colour on a terminal, and under
/// systemd, whose journal stamps the time, without one. Later calls change nothing.
pub fn init_logs(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // a second call finds the first one's subscriber in place, which is what is wanted
    let _ = match format {
        LogFormat::Json => lines.with_ansi(false).json().try_init(),
        LogFormat::Text if journal => lines.without_time().try_init(),
        LogFormat::Text => lines.try_init(),
    };
}
