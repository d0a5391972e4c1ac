//! Where log lines go.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sends log lines of `level` (unless `RUST_LOG` says otherwise) to stderr, in colour on a terminal. Under
/// systemd the journal stamps the time. Later calls change nothing.
pub fn init_logs(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // a second call finds the first one's subscriber in place, which is what is wanted
    let _ = if journal { format.without_time().try_init() } else { format.try_init() };
}
