//! Handover of streams to the analysis, and back.

use crate::detect::StreamState;
use crate::error::Result;
use crate::runtime::inference::Inference;

/// Commands to the analysis for a shared stream.
#[derive(Debug)]
pub(in crate::runtime) enum StreamHandover {
    /// Start its analysis, with this detector state.
    Take { stream: String, known: Option<Box<StreamState>> },
    /// End its analysis.
    Leave { stream: String },
}

impl Inference {
    /// Executes the handovers since the last round.
    pub(in crate::runtime) fn take_hands(&mut self) -> Result<()> {
        while let Ok(hand) = self.handovers.try_recv() {
            match hand {
                StreamHandover::Take { stream, known } => {
                    if let Some(stream) = self.streams.iter_mut().find(|s| s.feed.id == stream) {
                        stream.take(known.map(|known| *known));
                    }
                }
                StreamHandover::Leave { stream } => {
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
