//! What the detector says of every frame, event or not.

use super::input::InputState;
use crate::detect::exact::exact;

/// What a detector is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DetectorState {
    /// Learning what is normal; nothing is reported.
    Calibrating {
        /// Share of the wanted seconds that was received, 0 to 1.
        done: f32,
    },
    /// Still learning, and reporting what is far from what was learnt so far.
    Provisional {
        /// Share of the wanted seconds that was received, 0 to 1.
        done: f32,
    },
    /// Reporting what is not.
    Watching,
    /// The site has changed: reporting only what is severe, and learning what is normal now.
    Relearning {
        /// Share of the wanted seconds that was received, 0 to 1.
        done: f32,
    },
}

impl DetectorState {
    /// Share of the wanted seconds that was received, 0 to 1, while it learns.
    #[must_use]
    pub fn done(self) -> Option<f32> {
        match self {
            Self::Calibrating { done } | Self::Provisional { done } | Self::Relearning { done } => Some(done),
            Self::Watching => None,
        }
    }
}

/// Whether a frame could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// Yes.
    Good,
    /// No: too soon after a start, a gap, silence or an invalid frame.
    Settling,
    /// No: more than 0.1 s of digital silence, as from a dead or muted microphone, or less than 1 s after it.
    Silent,
    /// No: more than 0.1 s of a constant, as from a broken converter, or less than 1 s after it.
    Stuck,
    /// No: a value is not finite or beyond 1e9, or a length is wrong.
    Invalid,
}

/// What the detector says of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What the detector is doing, after this frame.
    pub state: DetectorState,
    /// Whether the frame could be used.
    pub quality: Quality,
    /// Surprise S in robust deviations; none while calibrating or where the frame was not used.
    pub surprise: Option<f64>,
    /// Novelty N as of the last multiple of 5 frames (about 1 for normal sound); none as for `surprise`, and until
    /// its window is full.
    pub novelty: Option<f64>,
    /// Combined tail probability, per second of normal sound, 1e-12 to 1; none unless watching and `Good`.
    pub p: Option<f64>,
    /// −log10 of it, 0 to 12.
    pub score: Option<f64>,
    /// Level of the hop, dB full scale.
    pub level_dbfs: f32,
    /// What the samples say of the input.
    pub input: InputState,
}

/// What a detector did besides events, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DetectorCounts {
    /// Frames with values that no model gives.
    pub invalid: u64,
    /// Alarms that the cap refused.
    pub capped: u64,
    /// Events that were not reported because the operator had declared their kind normal.
    pub known: u64,
    /// Events that were not reported because their sound had been reported often, and lately.
    pub repeats: u64,
    /// Times that the site has changed.
    pub regimes: u64,
}

exact!(DetectorCounts { invalid, capped, known, repeats, regimes });
