//! Recorded sound through the model, many hops at a time.

use std::sync::Arc;

use candle_core::Tensor;

use super::{Cpc, CpcState};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::units::{HOP, level_dbfs};

/// One stream whose sound is there already: the frames of [`LiveBatch`](super::LiveBatch), to 1e-5, at a fraction of
/// the cost, since every matrix product takes many hops.
#[derive(Debug)]
pub struct Passage {
    cpc: Arc<Cpc>,
    state: CpcState,
    next: u64,
}

impl Passage {
    /// A stream that begins at frame 0.
    ///
    /// # Errors
    /// When the model has no negatives to score with, or the device fails.
    pub fn new(cpc: Arc<Cpc>) -> Result<Self> {
        cpc.can_score()?;
        let state = cpc.zero_state(1)?;
        Ok(Self { cpc, state, next: 0 })
    }

    /// The next samples, a whole number of hops; a frame for each hop is appended to `frames`.
    ///
    /// # Errors
    /// When it is no whole number of hops, or the device fails.
    pub fn step(&mut self, samples: &[f32], frames: &mut Vec<Frame>) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let input = Tensor::from_slice(samples, (1, samples.len()), self.cpc.device())?;
        let output = self.cpc.step(&input, &mut self.state)?;
        let pmi = output.pmi.ok_or_else(|| Error::internal("the model gave no scores"))?;
        let rows = |t: &Tensor| -> Result<Vec<Vec<f32>>> { Ok(t.squeeze(0)?.to_vec2::<f32>()?) };
        let of_hop = rows(&pmi)?.into_iter().zip(rows(&output.latents)?);
        let of_hop = of_hop.zip(rows(&output.contexts)?).zip(rows(&output.bands)?);
        for ((((pmi, z), c), bands), hop) in of_hop.zip(samples.chunks(HOP)) {
            frames.push(Frame { index: self.next, pmi, z, c, bands, level_dbfs: level_dbfs(hop) });
            self.next += 1;
        }
        Ok(())
    }
}
