//! What the engine says.

use super::{Excerpt, Pooled};
use crate::detect::{Reading, StreamState};
use crate::event::Finding;
use crate::serve::Column;

/// What the engine has to say. `stream` is the number that [`Engine::add`](super::engine::Engine::add) gave.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Of each frame.
    Reading {
        /// Which stream.
        stream: usize,
        /// Frame number on the stream's clock.
        frame: u64,
        /// What the detector says of it.
        reading: Reading,
    },
    /// Another calibration is in force, the first one or one of a changed place; from the next frame on the stream is
    /// watched by it.
    Calibrated {
        /// Which stream.
        stream: usize,
    },
    /// The mean of the contexts of some frames, where the engine was asked for it.
    Embedding {
        /// Which stream.
        stream: usize,
        /// The mean.
        pooled: Box<Pooled>,
    },
    /// What a stream that is over knew at its end, for the next time it begins.
    State {
        /// Which stream.
        stream: usize,
        /// What it knew.
        state: Box<StreamState>,
    },
    /// 50 ms of the stream, where somebody looks at it.
    Strip {
        /// Which stream.
        stream: usize,
        /// Its spectrum.
        strip: Box<Column>,
    },
    /// An event began or ended.
    Finding {
        /// Which stream.
        stream: usize,
        /// What was found.
        finding: Box<Finding>,
    },
    /// The sound of an event that is over, told after its end, where the engine was asked to remember sound.
    Excerpt {
        /// Which stream.
        stream: usize,
        /// The sound.
        excerpt: Box<Excerpt>,
    },
}

impl Heard {
    /// Which stream it is about.
    #[must_use]
    pub fn stream(&self) -> usize {
        match self {
            Self::Reading { stream, .. }
            | Self::Calibrated { stream }
            | Self::Embedding { stream, .. }
            | Self::State { stream, .. }
            | Self::Strip { stream, .. }
            | Self::Finding { stream, .. }
            | Self::Excerpt { stream, .. } => *stream,
        }
    }
}
