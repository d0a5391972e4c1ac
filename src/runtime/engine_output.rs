//! The output of the engine.

use super::{Clip, MeanContext};
use crate::detect::{Reading, StreamState};
use crate::event::Finding;
use crate::frame::Frame;
use crate::serve::SpectrogramColumn;

/// An output of the engine. `stream` is the number that [`Engine::add`](super::engine::Engine::add) returned.
#[derive(Debug, Clone)]
pub enum EngineOutput {
    /// The model's output for each frame, before its reading, if enabled.
    Frame {
        /// Which stream.
        stream: usize,
        /// The frame.
        frame: Box<Frame>,
    },
    /// Of each frame.
    Reading {
        /// Which stream.
        stream: usize,
        /// Frame number on the stream's clock.
        frame: u64,
        /// The detector's reading.
        reading: Reading,
    },
    /// A new calibration is in force, the first one or one of a changed site; it applies from the next frame on.
    Calibrated {
        /// Which stream.
        stream: usize,
    },
    /// The mean of the contexts of some frames, if enabled.
    Embedding {
        /// Which stream.
        stream: usize,
        /// The mean.
        pooled: Box<MeanContext>,
    },
    /// The detector state at the end of a stream, for its next start.
    State {
        /// Which stream.
        stream: usize,
        /// The state.
        state: Box<StreamState>,
    },
    /// 50 ms of the stream's spectrogram, where there is a page.
    Column {
        /// Which stream.
        stream: usize,
        /// The column.
        column: Box<SpectrogramColumn>,
    },
    /// An event began or ended.
    Finding {
        /// Which stream.
        stream: usize,
        /// The finding.
        finding: Box<Finding>,
    },
    /// The sound of an event that has ended, if enabled.
    Clip {
        /// Which stream.
        stream: usize,
        /// The sound.
        excerpt: Box<Clip>,
    },
}

impl EngineOutput {
    /// Which stream it is about.
    #[must_use]
    pub fn stream(&self) -> usize {
        match self {
            Self::Frame { stream, .. }
            | Self::Reading { stream, .. }
            | Self::Calibrated { stream }
            | Self::Embedding { stream, .. }
            | Self::State { stream, .. }
            | Self::Column { stream, .. }
            | Self::Finding { stream, .. }
            | Self::Clip { stream, .. } => *stream,
        }
    }
}
