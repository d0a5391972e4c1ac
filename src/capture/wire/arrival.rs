//! What a read of a connection gives.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// Longest wait of one read.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// The result of a read.
pub(super) enum Arrival<'a> {
    /// The next bytes of the sender.
    Bytes(&'a [u8]),
    /// Bytes that begin with a frame, whatever came before.
    Datagram(&'a [u8]),
    /// None yet.
    Nothing,
    /// Another sender follows, if any; the reason.
    Sender(String),
    /// The connection is gone, and why.
    Lost(String),
    /// A file of so many seconds was read to its end.
    Over(f64),
}

/// Whether a read ended because nothing came in its time.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
