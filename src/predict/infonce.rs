//! The InfoNCE loss of training and evaluation.

use candle_core::{D, DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::PredictionHeads;

/// Which latents the true future is told apart from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Negatives {
    /// Frames of the same window count as negatives unless they lie within this many frames of the positive
    /// (circularly, so that every anchor has the same number of them); `None`: none of them count.
    pub within_zone: Option<usize>,
    /// Latents drawn from the *other* windows of the batch for each window.
    pub cross: usize,
}

impl Negatives {
    /// N: negatives that each positive is told apart from, in windows of `frames` frames.
    #[must_use]
    pub fn count(&self, frames: usize) -> usize {
        let within = self.within_zone.map_or(0, |zone| frames.saturating_sub(2 * zone + 1));
        within + self.cross
    }
}

/// Loss and accuracy of one batch.
#[derive(Debug, Clone)]
pub struct InfoNceTerms {
    /// Mean loss of each horizon in nats, `[K]`; ln(N + 1) for a guess.
    pub loss: Tensor,
    /// Share of anchors whose positive has the highest logit, `[K]`; 1 / (N + 1) for a guess.
    pub accuracy: Tensor,
}

/// The InfoNCE loss over windows of a fixed number of frames:
/// `L_k = −E ln( e^{l⁺} / (e^{l⁺} + Σ_j e^{l_j}) )` with N negatives j (arXiv 1807.03748, equation 4).
#[derive(Debug, Clone)]
pub struct InfoNce {
    negatives: Negatives,
    frames: usize,
    anchors: usize,
    horizons: usize,
    /// `[K · anchors, frames]`: 0 for the positive and for negatives, a large negative number elsewhere.
    mask: Tensor,
    /// `[K · anchors]`: the column of the positive.
    targets: Tensor,
}

impl InfoNce {
    /// For windows of `frames` frames and `horizons` heads.
    ///
    /// # Errors
    /// When the window is not longer than the horizon, or no negatives are asked for.
    pub fn new(negatives: Negatives, frames: usize, horizons: usize, device: &Device) -> Result<Self> {
        if frames <= horizons || negatives.count(frames) == 0 {
            candle_core::bail!(
                "windows of {frames} frames with {negatives:?} leave no pairs for K = {horizons}"
            );
        }
        let anchors = frames - horizons;
        let mut mask = vec![-1e9f32; horizons * anchors * frames];
        let mut targets = Vec::with_capacity(horizons * anchors);
        for (row, line) in mask.chunks_exact_mut(frames).enumerate() {
            let (k, t) = (row / anchors + 1, row % anchors);
            for (column, entry) in line.iter_mut().enumerate() {
                let apart = column.abs_diff(t + k);
                let circular = apart.min(frames - apart);
                if apart == 0 || negatives.within_zone.is_some_and(|zone| circular > zone) {
                    *entry = 0.0;
                }
            }
            targets.push((t + k) as u32);
        }
        Ok(Self {
            negatives,
            frames,
            anchors,
            horizons,
            mask: Tensor::from_vec(mask, (horizons * anchors, frames), device)?,
            targets: Tensor::from_vec(targets, horizons * anchors, device)?,
        })
    }

    /// N.
    #[must_use]
    pub fn negatives(&self) -> usize {
        self.negatives.count(self.frames)
    }

    /// Loss and accuracy of predictions from contexts `[b, frames, h]` for latents `[b, frames, d]`. `draw`
    /// gives a number below its argument: which latents of the other windows serve as negatives.
    ///
    /// # Errors
    /// When shapes do not fit, or cross negatives are asked of a batch of one.
    pub fn terms(
        &self,
        heads: &PredictionHeads,
        latents: &Tensor,
        contexts: &Tensor,
        mut draw: impl FnMut(usize) -> usize,
    ) -> Result<InfoNceTerms> {
        let (batch, frames, latent) = latents.dims3()?;
        let rows = self.horizons * self.anchors;
        let predictions = heads.predict_all(&contexts.narrow(1, 0, self.anchors)?)?;
        let predictions = predictions.reshape((batch, rows, latent))?;
        let within =
            predictions.matmul(&latents.transpose(1, 2)?.contiguous()?)?.broadcast_add(&self.mask)?;
        let logits = if self.negatives.cross == 0 {
            within
        } else {
            if batch < 2 {
                candle_core::bail!("negatives from other recordings need a batch of 2 or more");
            }
            let mut picks = Vec::with_capacity(batch * self.negatives.cross);
            for window in 0..batch {
                for _ in 0..self.negatives.cross {
                    let other = (window + 1 + draw(batch - 1)) % batch;
                    picks.push((other * frames + draw(frames)) as u32);
                }
            }
            let picks = Tensor::from_vec(picks, batch * self.negatives.cross, latents.device())?;
            let others = latents.contiguous()?.reshape((batch * frames, latent))?.index_select(&picks, 0)?;
            let others =
                others.reshape((batch, self.negatives.cross, latent))?.transpose(1, 2)?.contiguous()?;
            Tensor::cat(&[within, predictions.matmul(&others)?], 2)?
        };
        self.reduce(&logits, batch)
    }

    fn reduce(&self, logits: &Tensor, batch: usize) -> Result<InfoNceTerms> {
        let rows = self.horizons * self.anchors;
        let targets = self.targets.reshape((1, rows, 1))?.broadcast_as((batch, rows, 1))?.contiguous()?;
        let peak = logits.detach().max_keepdim(D::Minus1)?;
        let positive = logits.gather(&targets, D::Minus1)?;
        let total = logits.broadcast_sub(&peak)?.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let loss = ((total + &peak)? - &positive)?.reshape((batch, self.horizons, self.anchors))?;
        // ties count for the negatives: constant latents must not look accurate
        let ahead = logits.detach().broadcast_ge(&positive.detach())?.to_dtype(DType::F32)?.sum(D::Minus1)?;
        let right = ahead.eq(1.0)?.to_dtype(DType::F32)?.reshape((batch, self.horizons, self.anchors))?;
        Ok(InfoNceTerms { loss: loss.mean((0, 2))?, accuracy: right.mean((0, 2))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::laws::noise;
    use crate::nn::{Tensors, WeightSource};
    use crate::predict::HeadsConfig;

    fn heads(weight: Tensor) -> PredictionHeads {
        let (horizons, latent, context) = weight.dims3().unwrap();
        let tensors = Tensors::from([("heads.weight".to_owned(), weight)]);
        let config = HeadsConfig { horizons, scale: 1.0, hidden: None };
        PredictionHeads::load(WeightSource::new(&tensors), &config, latent, context).unwrap()
    }

    #[test]
    fn equal_logits_cost_ln_of_n_plus_1() {
        let flat = heads(Tensor::zeros((3, 4, 5), DType::F32, &Device::Cpu).unwrap());
        for (within_zone, cross) in [(Some(2), 0), (None, 7), (Some(1), 16), (Some(0), 3)] {
            let negatives = Negatives { within_zone, cross };
            let loss = InfoNce::new(negatives, 20, 3, &Device::Cpu).unwrap();
            let terms =
                loss.terms(&flat, &noise(1, &[2, 20, 4]), &noise(2, &[2, 20, 5]), |below| below / 2).unwrap();
            let expected = ((negatives.count(20) + 1) as f32).ln();
            for value in terms.loss.to_vec1::<f32>().unwrap() {
                assert!((value - expected).abs() < 1e-5, "{negatives:?}: {value} for {expected}");
            }
            // a tie is not a hit
            assert!(terms.accuracy.to_vec1::<f32>().unwrap().iter().all(|&a| a == 0.0));
        }
    }

    #[test]
    fn a_model_that_knows_costs_nothing() {
        // latents are one-hot by time and contexts name the time, so W_k can point at t + k
        let (frames, horizons) = (10, 2);
        let eye = Tensor::eye(frames, DType::F32, &Device::Cpu).unwrap();
        let shift =
            |k: usize| Tensor::cat(&[eye.narrow(0, k, frames - k).unwrap(), eye.narrow(0, 0, k).unwrap()], 0);
        let weight =
            Tensor::stack(&[shift(1).unwrap().t().unwrap(), shift(2).unwrap().t().unwrap()], 0).unwrap();
        let heads = heads((weight * 60.0).unwrap());
        let loss = InfoNce::new(Negatives { within_zone: Some(0), cross: 0 }, frames, horizons, &Device::Cpu)
            .unwrap();
        let window = eye.unsqueeze(0).unwrap();
        let terms = loss.terms(&heads, &window, &window, |_| 0).unwrap();
        assert!(terms.loss.to_vec1::<f32>().unwrap().iter().all(|&l| l < 1e-5));
        assert!(terms.accuracy.to_vec1::<f32>().unwrap().iter().all(|&a| a == 1.0));
    }

    #[test]
    fn a_batch_of_one_has_no_other_recordings() {
        let flat = heads(Tensor::zeros((3, 4, 5), DType::F32, &Device::Cpu).unwrap());
        let loss = InfoNce::new(Negatives { within_zone: None, cross: 4 }, 20, 3, &Device::Cpu).unwrap();
        assert!(loss.terms(&flat, &noise(1, &[1, 20, 4]), &noise(2, &[1, 20, 5]), |_| 0).is_err());
    }
}
