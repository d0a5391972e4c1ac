//! Log lines: destination and format.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

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

/// Sends log lines of `level` (unless `RUST_LOG` says otherwise) to stderr; text in colour on a terminal. Lines for
/// systemd's journal have its mark of their priority before them, and text no time, which it stamps itself. Later calls
/// change nothing.
pub fn init_logs(level: &str, format: LogFormat) {
    // the client of NATS says of each try that it failed; the cluster says once that the servers are away
    let usual = if level == "info" { "info,async_nats=warn" } else { level };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && takes_colour(|name| std::env::var_os(name)))
        .with_target(false);
    // a second call finds the first one's subscriber in place, which is what is wanted
    let _ = match (format, stderr_is_journal()) {
        (LogFormat::Json, false) => lines.with_ansi(false).json().try_init(),
        (LogFormat::Json, true) => lines.with_ansi(false).json().map_event_format(SyslogPriority).try_init(),
        (LogFormat::Text, false) => lines.try_init(),
        (LogFormat::Text, true) => lines.without_time().map_event_format(SyslogPriority).try_init(),
    };
}

/// Whether colour is allowed: not with `NO_COLOR` set to any text, nor on a `dumb` terminal.
fn takes_colour(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|text| !text.is_empty());
    !refused && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Whether stderr is the stream that `JOURNAL_STREAM` names as DEVICE:INODE; a child of a service inherits the
/// variable, but may write elsewhere.
fn stderr_is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    File::from(stderr).metadata().is_ok_and(|stream| named == format!("{}:{}", stream.dev(), stream.ino()))
}

/// The prefix of the lines of a fatal error: the mark of an error for the journal, else nothing.
pub(crate) fn mark_of_failure() -> &'static str {
    if stderr_is_journal() { "<3>" } else { "" }
}

/// Lines with the priority of syslog before them (sd-daemon(3)), so that `journalctl -p warning` finds them.
struct SyslogPriority<F>(F);

impl<S, N, F> FormatEvent<S, N> for SyslogPriority<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(line, "<{priority}>")?;
        self.0.format_event(context, line, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_where_it_is_not_wanted() {
        for (variables, colour) in [
            (&[][..], true),
            (&[("TERM", "xterm-256color")], true),
            (&[("NO_COLOR", "")], true),
            (&[("NO_COLOR", "1")], false),
            (&[("NO_COLOR", "0"), ("TERM", "xterm")], false),
            (&[("TERM", "dumb")], false),
        ] {
            let of =
                |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, text)| OsString::from(text));
            assert_eq!(takes_colour(of), colour, "{variables:?}");
        }
    }
}
