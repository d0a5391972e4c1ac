//! Counters and figures of a stream.

use crate::detect::{DetectorCounts, InputCounts, InputState};

/// Counters of the samples of a stream, at the model rate. `resampled = scored + shed + waiting`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PipelineCounters {
    /// Samples that came out of the resampler.
    pub resampled: u64,
    /// Samples in hops that were scored.
    pub scored: u64,
    /// Samples thrown away beside a gap or at the end, since they fill no hop.
    pub shed: u64,
    /// Samples that were lost before they got here (device rate, refused by a full ring or dropped by the device).
    pub lost: u64,
    /// Gaps.
    pub gaps: u64,
}

/// All counters and figures of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PipelineFigures {
    /// Counters of the samples.
    pub samples: PipelineCounters,
    /// The state of the input after the last hop.
    pub input: InputState,
    /// Times that the model's output was not finite, so that the stream's state was reset.
    pub model_resets: u64,
    /// Hops in each state.
    pub hops: InputCounts,
    /// Counters of the detector besides events.
    pub detector: DetectorCounts,
    /// Its threshold on −log10 p, once there is one.
    pub threshold: Option<f64>,
    /// Its budget in force, events an hour.
    pub budget_per_hour: Option<f64>,
    /// Event documents that were not reported, since the stream was muted.
    pub muted: u64,
    /// Times that a calibration failed and restarted.
    pub learning_failed: u64,
}

impl Default for PipelineFigures {
    fn default() -> Self {
        Self {
            samples: PipelineCounters::default(),
            input: InputState::Good,
            model_resets: 0,
            hops: InputCounts::default(),
            detector: DetectorCounts::default(),
            threshold: None,
            budget_per_hour: None,
            muted: 0,
            learning_failed: 0,
        }
    }
}
