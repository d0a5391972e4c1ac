//! Streams that are handed to the analysis, and taken from it.

use crate::detect::StreamState;
use crate::error::Result;
use crate::runtime::inference::Inference;

/// What the analysis is to do with a shared stream.
#[derive(Debug)]
pub(in crate::runtime) enum Hand {
    /// From here on it is heard here; of its place this is known.
    Take { stream: String, known: Option<Box<StreamState>> },
    /// It is heard elsewhere.
    Leave { stream: String },
}

impl Inference {
    /// Takes and leaves shared streams as somebody decided since the last round.
    pub(in crate::runtime) fn take_hands(&mut self) -> Result<()> {
        while let Ok(hand) = self.hands.try_recv() {
            match hand {
                Hand::Take { stream, known } => {
                    if let Some(stream) = self.streams.iter_mut().find(|s| s.feed.id == stream) {
                        stream.take(known.map(|known| *known));
                    }
                }
                Hand::Leave { stream } => {
                    if let Some(index) = self.streams.iter().position(|s| s.feed.id == stream) {
                        self.end(index)?;
                        if let Some(stream) = self.streams.get_mut(index) {
                            stream.leave();
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
