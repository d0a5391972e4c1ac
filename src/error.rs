//! One error type: every failure says what happened (cause) and what to do about it (fix).

use std::fmt;

/// The kind of a failure; it decides the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The command line or the configuration.
    Config,
    /// A microphone, an audio file or another source of sound.
    Device,
    /// A model file, or a model that does not fit what is asked of it.
    Model,
    /// The MQTT broker or the outbox in front of it.
    Broker,
    /// A fault in this program or in the machine under it.
    Internal,
}

impl ErrorKind {
    /// The exit code of the process: 2 usage/config, 3 device, 4 model, 5 broker, 70 internal.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config => 2,
            Self::Device => 3,
            Self::Model => 4,
            Self::Broker => 5,
            Self::Internal => 70,
        }
    }
}

/// A failure with its cause and its fix, one line each.
///
/// `Display` gives the cause alone; [`Error::fix`] gives the fix. The command line prints both.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    cause: String,
    fix: String,
}

impl Error {
    /// A failure of `kind`. `cause` says what was found and what was expected, `fix` what to do.
    pub fn new(kind: ErrorKind, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), fix: fix.into() }
    }

    /// A failure of the command line or the configuration (exit code 2).
    pub fn config(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, cause, fix)
    }

    /// A failure of a device or an audio file (exit code 3).
    pub fn device(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(ErrorKind::Device, cause, fix)
    }

    /// A failure of a device (exit code 3) of which a notice tells cause and fix in one line, `cause (fix)`; `else_fix` where
    /// there is none.
    #[must_use]
    pub fn of_notice(notice: &str, else_fix: &str) -> Self {
        let parts = notice.strip_suffix(')').and_then(|notice| notice.rsplit_once(" ("));
        let (cause, fix) = parts.unwrap_or((notice, else_fix));
        Self::device(cause, fix)
    }

    /// A failure of a model file (exit code 4).
    pub fn model(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(ErrorKind::Model, cause, fix)
    }

    /// A failure of the broker or the outbox (exit code 5).
    pub fn broker(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(ErrorKind::Broker, cause, fix)
    }

    /// A thread that the system does not start (exit code 70); `what` names it.
    #[must_use]
    pub fn no_thread(what: &str, why: &std::io::Error) -> Self {
        Self::new(
            ErrorKind::Internal,
            format!("cannot start the thread {what}: {why}"),
            "raise the limit of tasks (TasksMax of the unit, `ulimit -u`) or free memory: each source takes a thread, and three where \
             ffmpeg reads it",
        )
    }

    /// A failure that is not the user's doing (exit code 70).
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::Internal,
            cause,
            "report it with the log (RUST_LOG=cpc_stream=debug) of this run",
        )
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The fix, one line.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }

    /// The same failure with `context: ` put before its cause.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.cause = format!("{context}: {}", self.cause);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::internal(format!("tensor operation failed: {error}"))
    }
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_parsed() {
        let error = Error::of_notice("the device is busy: in use (stop the other program)", "replug it");
        assert_eq!(
            (error.to_string().as_str(), error.fix()),
            ("the device is busy: in use", "stop the other program")
        );
        let error = Error::of_notice("gone", "replug it");
        assert_eq!((error.to_string().as_str(), error.fix()), ("gone", "replug it"));
    }
}
