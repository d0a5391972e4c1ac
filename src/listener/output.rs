//! What a listener gives.

use crate::detect::Reading;
use crate::event::Finding;
use crate::frame::Frame;
use crate::units::{frame_end, samples_to_seconds};

/// A stream of a [`Listener`](super::Listener): one microphone channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) usize);

/// An output of [`Listener::step`](super::Listener::step), in the order of the sound of each stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Output {
    /// A hop of 10 ms was scored.
    Frame(Box<ScoredFrame>),
    /// A stream has learnt what is normal there, or learnt it anew after the place changed.
    Calibrated {
        /// The stream.
        stream: StreamId,
    },
    /// An event began, became severe or ended.
    Finding {
        /// The stream.
        stream: StreamId,
        /// The report.
        finding: Box<Finding>,
    },
}

/// The model's output for a hop of a stream, and its scores.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScoredFrame {
    /// The stream.
    pub stream: StreamId,
    /// Number of the hop on the stream's clock: it covers the samples `160 index ..= 160 index + 159` at 16 kHz. Numbers skip over
    /// gaps.
    pub index: u64,
    /// End of the hop in seconds from the start of the stream.
    pub end_s: f64,
    /// Latent z, `[latent_width]`.
    pub z: Vec<f32>,
    /// Context c, `[context_width]`.
    pub c: Vec<f32>,
    /// Pointwise mutual information of z with the contexts 1..=K hops before, in nats, `[horizons]`; NaN where the context does not
    /// exist yet (arXiv 1807.03748, eq. 4).
    pub pmi: Vec<f32>,
    /// Mean of −PMI over the horizons in robust deviations from normal; none while the stream learns, and where the hop is not usable
    /// (silence, a gap, the second after one).
    pub surprise: Option<f64>,
    /// Mahalanobis distance of the band statistics of 0.5 s, about 1 for normal sound; none as for `surprise`.
    pub novelty: Option<f64>,
    /// Tail probability of all terms together, per second of normal sound, 1e-12 to 1; none as for `surprise`.
    pub p: Option<f64>,
    /// Level of the hop in dB relative to full scale, −120 for silence.
    pub level_dbfs: f32,
    /// Share of the calibration that is done, 0 to 1, while the stream learns.
    pub learning: Option<f32>,
}

impl ScoredFrame {
    pub(super) fn new(stream: StreamId, frame: Frame, reading: &Reading) -> Self {
        Self {
            stream,
            index: frame.index,
            end_s: samples_to_seconds(frame_end(frame.index)),
            z: frame.z,
            c: frame.c,
            pmi: frame.pmi,
            surprise: reading.surprise,
            novelty: reading.novelty,
            p: reading.p,
            level_dbfs: reading.level_dbfs,
            learning: reading.state.done(),
        }
    }
}
