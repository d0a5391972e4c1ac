//! What receives the results of a recording.

use super::row::Row;
use crate::error::Result;
use crate::event::Finding;

/// Receives the results of a [`Scorer`](super::Scorer), in the order of the sound.
pub trait Listener {
    /// An event has ended: its final figures, with `emitted_s` as of its first report.
    ///
    /// # Errors
    /// Ends the recording.
    fn event(&mut self, finding: &Finding) -> Result<()>;

    /// The next 0.1 s.
    ///
    /// # Errors
    /// Ends the recording.
    fn row(&mut self, row: &Row) -> Result<()>;

    /// Progress in seconds of the recording; false ends it.
    fn progress(&mut self, seconds: f64) -> bool;
}
