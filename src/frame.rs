//! The record that travels from the model to the detector.

use serde::{Deserialize, Serialize};

/// One hop of one stream: its samples, and what the model makes of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Frame number `u` on the stream's sample clock: the hop covers samples `160 u ..= 160 u + 159`.
    /// Numbers skip over gaps (lost samples), they never repeat.
    pub index: u64,
    /// Pointwise mutual information estimate of z_u and c_{u-k} against the negatives, in nats, for
    /// k = 1..=K in this order. Entries for which fewer than k contexts exist since the last reset are NaN.
    pub pmi: Vec<f32>,
    /// Latent z_u, `[d]`.
    pub z: Vec<f32>,
    /// Context c_u, `[h]`.
    pub c: Vec<f32>,
    /// Log-mel bands of the 25 ms that end with the hop, `[64]`: ln(power + 1e-6), from the lowest band up.
    pub bands: Vec<f32>,
    /// Samples of the hop, `[160]`.
    pub samples: Vec<f32>,
    /// Level of the hop's samples in dB relative to full scale, -120 for silence.
    pub level_dbfs: f32,
}

impl Frame {
    /// Whether latent, context and bands are numbers.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        all_finite(&self.z) && all_finite(&self.c) && all_finite(&self.bands)
    }
}

/// Whether all `values` are finite.
#[must_use]
pub fn all_finite(values: &[f32]) -> bool {
    // without a branch for each, so that it is one pass of wide registers
    values.iter().fold(true, |all, x| all & x.is_finite())
}

/// The lengths of what a [`Frame`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameShape {
    /// K, the number of horizons.
    pub horizons: usize,
    /// d, the width of z.
    pub latent: usize,
    /// h, the width of c.
    pub context: usize,
}
