//! The InfoNCE loss of training and evaluation.

use candle_core::{D, DType, Device, Result, Tensor};

use super::PredictionHeads;

/// Logit that excludes a candidate.
const NEVER: f32 = -1e9;

/// A set of negatives. A set of weight w counts w times: ln w is added to its logits.
#[derive(Debug, Clone)]
pub enum NegativeSet {
    /// The other frames of the same window, but for those within `zone` frames of the positive (circularly, so that
    /// every anchor has the same number).
    Within {
        /// Frames on either side that do not count.
        zone: usize,
        /// Weight.
        weight: f64,
    },
    /// The same latents for every anchor of a window, `[batch, n, d]`: of other recordings, or of a queue.
    Shared {
        /// The latents.
        latents: Tensor,
        /// Weight.
        weight: f64,
    },
    /// For the anchor t and the horizon k the frame t + k of these, `[batch, frames, d]`: the window's own future
    /// with something added.
    Own {
        /// The latents.
        latents: Tensor,
        /// `[batch, frames]`: 1 where nothing audible was added, so that the frame does not count.
        untouched: Tensor,
        /// Weight.
        weight: f64,
    },
}

/// Loss and accuracy of one batch.
#[derive(Debug, Clone)]
pub struct InfoNceTerms {
    /// Mean loss of each horizon in nats, `[K]`; ln(N + 1) for a guess.
    pub loss: Tensor,
    /// Share of anchors whose positive has the highest logit, `[K]`; 1 / (N + 1) for a guess.
    pub accuracy: Tensor,
}

/// Predictions of all heads from some frames of each window.
#[derive(Debug, Clone)]
pub struct Anchors {
    /// `[batch, K · anchors, d]`.
    predictions: Tensor,
    /// Frame t + k of each row.
    targets: Vec<u32>,
    count: usize,
    horizons: usize,
}

impl Anchors {
    /// Predicts from the contexts `[batch, frames, h]` at the frames `at`, each followed by K frames or more.
    ///
    /// # Errors
    /// When a frame is too late, or shapes do not fit.
    pub fn new(heads: &PredictionHeads, contexts: &Tensor, at: &[u32]) -> Result<Self> {
        let (batch, frames, _) = contexts.dims3()?;
        let horizons = heads.horizons();
        if at.is_empty() || at.iter().any(|&t| t as usize + horizons >= frames) {
            candle_core::bail!(
                "anchors {at:?} in windows of {frames} frames leave no pairs for K = {horizons}"
            );
        }
        let chosen = contexts.index_select(&Tensor::new(at, contexts.device())?, 1)?;
        let predictions = heads.predict_all(&chosen)?;
        let predictions = predictions.reshape((batch, horizons * at.len(), heads.latent()))?;
        let targets = (1..=horizons as u32).flat_map(|k| at.iter().map(move |t| t + k)).collect();
        Ok(Self { predictions, targets, count: at.len(), horizons })
    }

    /// Every frame that is followed by K frames in windows of `frames`.
    #[must_use]
    pub fn all(frames: usize, horizons: usize) -> Vec<u32> {
        (0..frames.saturating_sub(horizons) as u32).collect()
    }

    /// The InfoNCE loss `L_k = −E ln( e^{l⁺} / (e^{l⁺} + Σ_j w_j e^{l_j}) )` (arXiv 1807.03748, equation 4) where
    /// the positives are the frames t + k of `latents`, `[batch, frames, d]`.
    ///
    /// # Errors
    /// When there is no set, or shapes do not fit.
    pub fn info_nce(&self, latents: &Tensor, sets: &[NegativeSet]) -> Result<InfoNceTerms> {
        let (batch, frames, _) = latents.dims3()?;
        if sets.is_empty() {
            candle_core::bail!("InfoNCE without negatives");
        }
        let positive = self.own_logits(latents)?;
        let mut columns = vec![positive.clone()];
        for set in sets {
            let (logits, weight) = match set {
                NegativeSet::Within { zone, weight } => {
                    let all = self.predictions.matmul(&latents.transpose(1, 2)?.contiguous()?)?;
                    (all.broadcast_add(&self.zone_mask(*zone, frames, latents.device())?)?, *weight)
                }
                NegativeSet::Shared { latents, weight } => {
                    (self.predictions.matmul(&latents.transpose(1, 2)?.contiguous()?)?, *weight)
                }
                NegativeSet::Own { latents, untouched, weight } => {
                    let mask = (untouched.index_select(&self.target_index(untouched.device())?, 1)?
                        * f64::from(NEVER))?;
                    (self.own_logits(latents)?.add(&mask.unsqueeze(2)?)?, *weight)
                }
            };
            columns.push(if (weight - 1.0).abs() < 1e-9 { logits } else { (logits + weight.ln())? });
        }
        self.reduce(&positive, &Tensor::cat(&columns, 2)?, batch)
    }

    /// The logit of each row's own frame t + k of `latents`, `[batch, rows, 1]`.
    fn own_logits(&self, latents: &Tensor) -> Result<Tensor> {
        let own = latents.index_select(&self.target_index(latents.device())?, 1)?;
        (&self.predictions * own)?.sum_keepdim(D::Minus1)
    }

    fn target_index(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(self.targets.as_slice(), device)
    }

    /// `[rows, frames]`: 0 for negatives, [`NEVER`] for the positive and its zone.
    fn zone_mask(&self, zone: usize, frames: usize, device: &Device) -> Result<Tensor> {
        let mut mask = vec![0f32; self.targets.len() * frames];
        for (line, &target) in mask.chunks_exact_mut(frames).zip(&self.targets) {
            for (column, entry) in line.iter_mut().enumerate() {
                let apart = column.abs_diff(target as usize);
                if apart.min(frames - apart) <= zone {
                    *entry = NEVER;
                }
            }
        }
        Tensor::from_vec(mask, (self.targets.len(), frames), device)
    }

    fn reduce(&self, positive: &Tensor, logits: &Tensor, batch: usize) -> Result<InfoNceTerms> {
        let peak = logits.detach().max_keepdim(D::Minus1)?;
        let total = logits.broadcast_sub(&peak)?.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let shape = (batch, self.horizons, self.count);
        let loss = ((total + &peak)? - positive)?.reshape(shape)?;
        // ties count for the negatives: constant latents must not look accurate
        let ahead = logits.detach().broadcast_ge(&positive.detach())?.to_dtype(DType::F32)?.sum(D::Minus1)?;
        let right = ahead.eq(1.0)?.to_dtype(DType::F32)?.reshape(shape)?;
        Ok(InfoNceTerms { loss: loss.mean((0, 2))?, accuracy: right.mean((0, 2))? })
    }
}

/// `count` latents for each window from the other windows of `latents`, `[batch, frames, d]`: `[batch, count, d]`.
/// `draw` gives a number below its argument.
///
/// # Errors
/// For a batch of one.
pub fn from_other_windows(
    latents: &Tensor,
    count: usize,
    mut draw: impl FnMut(usize) -> usize,
) -> Result<Tensor> {
    let (batch, frames, width) = latents.dims3()?;
    if batch < 2 {
        candle_core::bail!("negatives from other recordings need a batch of 2 or more");
    }
    let mut picks = Vec::with_capacity(batch * count);
    for window in 0..batch {
        for _ in 0..count {
            let other = (window + 1 + draw(batch - 1)) % batch;
            picks.push((other * frames + draw(frames)) as u32);
        }
    }
    let flat = latents.contiguous()?.reshape((batch * frames, width))?;
    flat.index_select(&Tensor::new(picks, latents.device())?, 0)?.reshape((batch, count, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::streaming_properties::noise;
    use crate::nn::{Tensors, WeightSource};
    use crate::predict::HeadsConfig;

    fn heads(weight: Tensor) -> PredictionHeads {
        let (horizons, latent, context) = weight.dims3().unwrap();
        let tensors = Tensors::from([("heads.weight".to_owned(), weight)]);
        let config = HeadsConfig { horizons, scale: 1.0, hidden: None };
        PredictionHeads::load(WeightSource::new(&tensors), &config, latent, context).unwrap()
    }

    fn every_kind() -> Vec<(NegativeSet, usize)> {
        let untouched = Tensor::zeros((2, 20), DType::F32, &Device::Cpu).unwrap();
        vec![
            (NegativeSet::Within { zone: 2, weight: 1.0 }, 15),
            (NegativeSet::Within { zone: 0, weight: 1.0 }, 19),
            (NegativeSet::Shared { latents: noise(4, &[2, 7, 4]), weight: 1.0 }, 7),
            (NegativeSet::Own { latents: noise(5, &[2, 20, 4]), untouched, weight: 1.0 }, 1),
        ]
    }

    #[test]
    fn equal_logits_cost_ln_of_n_plus_1() {
        let flat = heads(Tensor::zeros((3, 4, 5), DType::F32, &Device::Cpu).unwrap());
        let (latents, contexts) = (noise(1, &[2, 20, 4]), noise(2, &[2, 20, 5]));
        let anchors = Anchors::new(&flat, &contexts, &Anchors::all(20, 3)).unwrap();
        let (sets, counts): (Vec<_>, Vec<_>) = every_kind().into_iter().unzip();
        let alone = sets.iter().cloned().zip(&counts).map(|(set, &n)| (vec![set], n));
        for (sets, n) in alone.chain([(sets.clone(), counts.iter().sum())]) {
            let terms = anchors.info_nce(&latents, &sets).unwrap();
            let expected = ((n + 1) as f32).ln();
            for value in terms.loss.to_vec1::<f32>().unwrap() {
                assert!((value - expected).abs() < 1e-5, "{value} for {expected}");
            }
            // a tie is not a hit
            assert!(terms.accuracy.to_vec1::<f32>().unwrap().iter().all(|&a| a == 0.0));
        }
    }

    #[test]
    fn a_set_of_weight_3_counts_three_times() {
        let flat = heads(Tensor::zeros((3, 4, 5), DType::F32, &Device::Cpu).unwrap());
        let anchors = Anchors::new(&flat, &noise(2, &[2, 20, 5]), &[0, 4, 9]).unwrap();
        let set = NegativeSet::Shared { latents: noise(4, &[2, 7, 4]), weight: 3.0 };
        let loss = anchors.info_nce(&noise(1, &[2, 20, 4]), &[set]).unwrap().loss.to_vec1::<f32>().unwrap();
        assert!(loss.iter().all(|l| (l - 22f32.ln()).abs() < 1e-5), "{loss:?}");
    }

    #[test]
    fn unchanged_frames_are_no_negatives() {
        let some = heads(noise(6, &[3, 4, 5]));
        let anchors = Anchors::new(&some, &noise(2, &[2, 20, 5]), &[0, 4, 9]).unwrap();
        let latents = noise(1, &[2, 20, 4]);
        let untouched = Tensor::ones((2, 20), DType::F32, &Device::Cpu).unwrap();
        let set = NegativeSet::Own { latents: latents.clone(), untouched, weight: 1.0 };
        let terms = anchors.info_nce(&latents, &[set]).unwrap();
        assert!(terms.loss.to_vec1::<f32>().unwrap().iter().all(|l| l.abs() < 1e-6));
        assert!(terms.accuracy.to_vec1::<f32>().unwrap().iter().all(|&a| a == 1.0));
    }

    #[test]
    fn a_perfect_model_has_no_loss() {
        // latents are one-hot by time and contexts name the time, so W_k can point at t + k
        let (frames, horizons) = (10, 2);
        let eye = Tensor::eye(frames, DType::F32, &Device::Cpu).unwrap();
        let shift =
            |k: usize| Tensor::cat(&[eye.narrow(0, k, frames - k).unwrap(), eye.narrow(0, 0, k).unwrap()], 0);
        let weight =
            Tensor::stack(&[shift(1).unwrap().t().unwrap(), shift(2).unwrap().t().unwrap()], 0).unwrap();
        let heads = heads((weight * 60.0).unwrap());
        let window = eye.unsqueeze(0).unwrap();
        let anchors = Anchors::new(&heads, &window, &Anchors::all(frames, horizons)).unwrap();
        let terms = anchors.info_nce(&window, &[NegativeSet::Within { zone: 0, weight: 1.0 }]).unwrap();
        assert!(terms.loss.to_vec1::<f32>().unwrap().iter().all(|&l| l < 1e-5));
        assert!(terms.accuracy.to_vec1::<f32>().unwrap().iter().all(|&a| a == 1.0));
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let some = heads(noise(6, &[3, 4, 5]));
        let (z0, c0) = (noise(1, &[2, 12, 4]), noise(2, &[2, 12, 5]));
        let loss = |z: &Tensor, c: &Tensor| {
            let anchors = Anchors::new(&some, c, &[0, 3, 8]).unwrap();
            let untouched = Tensor::zeros((2, 12), DType::F32, &Device::Cpu).unwrap();
            let own = (z.flip(&[1]).unwrap() * 0.5).unwrap();
            let sets = [
                NegativeSet::Within { zone: 1, weight: 1.0 },
                NegativeSet::Shared {
                    latents: from_other_windows(z, 3, |below| below / 2).unwrap(),
                    weight: 2.0,
                },
                NegativeSet::Own { latents: own, untouched, weight: 1.0 },
            ];
            anchors.info_nce(z, &sets).unwrap().loss.mean_all().unwrap()
        };
        let (z, c) =
            (candle_core::Var::from_tensor(&z0).unwrap(), candle_core::Var::from_tensor(&c0).unwrap());
        let gradients = loss(z.as_tensor(), c.as_tensor()).backward().unwrap();
        for (seed, towards_z) in [(21, true), (22, true), (23, false), (24, false)] {
            let (at, var) = if towards_z { (&z0, &z) } else { (&c0, &c) };
            let way = noise(seed, at.dims());
            let value = |step: f64| {
                let moved = (at + (&way * step).unwrap()).unwrap();
                let loss = if towards_z { loss(&moved, &c0) } else { loss(&z0, &moved) };
                f64::from(loss.to_scalar::<f32>().unwrap())
            };
            let slope = (value(1e-2) - value(-1e-2)) / 2e-2;
            let gradient = gradients.get(var).unwrap();
            let found = (gradient * &way).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!((slope - f64::from(found)).abs() < 2e-3 * (1.0 + slope.abs()), "{slope} and {found}");
        }
    }

    #[test]
    fn others_are_never_the_window_itself() {
        // latents that name their window
        let rows: Vec<f32> = (0..3u8).flat_map(|w| vec![f32::from(w); 8]).collect();
        let latents = Tensor::from_vec(rows, (3, 4, 2), &Device::Cpu).unwrap();
        let mut state = 1u32;
        let draw = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % below
        };
        let others = from_other_windows(&latents, 40, draw).unwrap().to_vec3::<f32>().unwrap();
        for (window, rows) in others.iter().enumerate() {
            let seen: std::collections::BTreeSet<u8> = rows.iter().map(|r| r[0] as u8).collect();
            assert!(!seen.contains(&(window as u8)) && seen.len() == 2, "{window}: {seen:?}");
        }
        assert!(from_other_windows(&noise(1, &[1, 20, 4]), 4, |_| 0).is_err());
    }

    #[test]
    fn anchors_without_a_future_are_refused() {
        let flat = heads(Tensor::zeros((3, 4, 5), DType::F32, &Device::Cpu).unwrap());
        assert!(Anchors::new(&flat, &noise(2, &[2, 20, 5]), &[17]).is_err());
        assert!(Anchors::new(&flat, &noise(2, &[2, 20, 5]), &[]).is_err());
    }
}
