//! Scores of each new latent against the predictions of the last K contexts.

use candle_core::{D, DType, Result, Tensor};

use super::PredictionHeads;
use crate::nn::BatchState;

/// Scores latents against the predictions of earlier contexts, with a fixed set of negatives.
#[derive(Debug, Clone)]
pub struct DelayedScorer {
    heads: PredictionHeads,
    /// `[d, N]`.
    negatives: Tensor,
    log_count: f64,
}

/// The last K contexts of each stream, oldest first, `[batch, K, h]`, and how many of them are real.
#[derive(Debug, Clone)]
pub struct ScorerState {
    contexts: Tensor,
    /// `[batch, K]`: 0 where a context exists, NaN where it does not (added to the scores).
    missing: Tensor,
}

impl BatchState for ScorerState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.contexts, &self.missing]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        match (tensors.next(), tensors.next()) {
            (Some(contexts), Some(missing)) => Self { contexts, missing },
            _ => self.clone(),
        }
    }
}

impl DelayedScorer {
    /// `negatives` is `[N, d]`, N ≥ 2. They never change while a stream runs, so scores stay comparable.
    ///
    /// # Errors
    /// When it is not such a matrix, as wide as the heads predict.
    pub fn new(heads: PredictionHeads, negatives: &Tensor) -> Result<Self> {
        let (count, width) = negatives.dims2()?;
        if count < 2 || width != heads.latent() {
            candle_core::bail!(
                "bank of negatives: {count} vectors of {width} values found, at least 2 of {} expected",
                heads.latent()
            );
        }
        Ok(Self { heads, negatives: negatives.t()?.contiguous()?, log_count: (count as f64).ln() })
    }

    /// The state of streams before their first frame.
    ///
    /// # Errors
    /// When the device cannot hold it.
    pub fn zero_state(&self, batch: usize) -> Result<ScorerState> {
        let (horizons, context) = (self.heads.horizons(), self.heads.context());
        let device = self.heads.device();
        Ok(ScorerState {
            contexts: Tensor::zeros((batch, horizons, context), DType::F32, device)?,
            missing: Tensor::full(f32::NAN, (batch, horizons), device)?,
        })
    }

    /// `PMI_k(z_u, c_{u-k}) = l⁺_k − (LSE_j l_{k,j} − ln N)` in nats for the frames of a piece: z `[batch, frames, d]`
    /// and c `[batch, frames, h]` to `[batch, frames, K]`. NaN where c_{u-k} lies before the start of the stream. It
    /// estimates the pointwise mutual information of z_u and c_{u-k}, whatever the number of negatives N.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn step(&self, z: &Tensor, c: &Tensor, state: &mut ScorerState) -> Result<Tensor> {
        let (batch, frames, latent) = z.dims3()?;
        let horizons = self.heads.horizons();
        // row u + K - k of `past` is c_{u-k}
        let past = Tensor::cat(&[&state.contexts, c], 1)?;
        let missing =
            Tensor::cat(&[&state.missing, &Tensor::zeros((batch, frames), DType::F32, z.device())?], 1)?;
        let by_horizon: Vec<Tensor> =
            (1..=horizons).map(|k| past.narrow(1, horizons - k, frames)).collect::<Result<_>>()?;
        let contexts =
            Tensor::stack(&by_horizon, 0)?.reshape((horizons, batch * frames, self.heads.context()))?;
        let predictions = self.heads.predict(&contexts)?;
        let flat = predictions.reshape((horizons * batch * frames, latent))?;
        let against = flat.matmul(&self.negatives)?.log_sum_exp(D::Minus1)?;
        let truth = z.contiguous()?.reshape((1, batch * frames, latent))?;
        let positive = predictions.broadcast_mul(&truth)?.sum(D::Minus1)?;
        let pmi = (positive - (against.reshape((horizons, batch * frames))? - self.log_count)?)?;
        let pmi = pmi.t()?.contiguous()?.reshape((batch, frames, horizons))?;
        let absent: Vec<Tensor> =
            (1..=horizons).map(|k| missing.narrow(1, horizons - k, frames)).collect::<Result<_>>()?;
        let pmi = (pmi + Tensor::stack(&absent, 2)?)?;
        state.contexts = past.narrow(1, frames, horizons)?.contiguous()?;
        state.missing = missing.narrow(1, frames, horizons)?.contiguous()?;
        Ok(pmi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::streaming_properties::{largest_difference, noise};
    use crate::nn::{Tensors, WeightSource};
    use crate::predict::HeadsConfig;
    use proptest::prelude::*;

    fn scorer(seed: u64) -> (DelayedScorer, Tensor, Tensor) {
        let weight = noise(seed, &[4, 5, 3]);
        let tensors = Tensors::from([("heads.weight".to_owned(), weight.clone())]);
        let config = HeadsConfig { horizons: 4, scale: 0.5, hidden: None };
        let heads = PredictionHeads::load(WeightSource::new(&tensors), &config, 5, 3).unwrap();
        let bank = noise(seed ^ 1, &[7, 5]);
        (DelayedScorer::new(heads, &bank).unwrap(), weight, bank)
    }

    #[test]
    fn a_bank_that_does_not_fit_is_refused() {
        let (scorer, ..) = scorer(3);
        for shape in [[1, 5], [7, 4]] {
            let error = DelayedScorer::new(scorer.heads.clone(), &noise(1, &shape)).unwrap_err();
            assert!(error.to_string().contains("at least 2 of 5 expected"), "{error}");
        }
    }

    #[test]
    fn pmi_is_the_formula() {
        let (scorer, weight, bank) = scorer(3);
        let (z, c) = (noise(4, &[1, 9, 5]), noise(5, &[1, 9, 3]));
        let mut state = scorer.zero_state(1).unwrap();
        let pmi = scorer.step(&z, &c, &mut state).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        let (z, c) = (
            z.squeeze(0).unwrap().to_vec2::<f32>().unwrap(),
            c.squeeze(0).unwrap().to_vec2::<f32>().unwrap(),
        );
        let (weight, bank) = (weight.to_vec3::<f32>().unwrap(), bank.to_vec2::<f32>().unwrap());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        for (u, row) in pmi.iter().enumerate() {
            for (k, &value) in (1..).zip(row) {
                if u < k {
                    assert!(value.is_nan());
                    continue;
                }
                let guess: Vec<f32> = weight[k - 1].iter().map(|w| 0.5 * dot(w, &c[u - k]) as f32).collect();
                let others: f64 = bank.iter().map(|n| dot(&guess, n).exp()).sum::<f64>();
                let expected = dot(&guess, &z[u]) - (others.ln() - 7f64.ln());
                assert!((f64::from(value) - expected).abs() < 1e-5, "u {u} k {k}");
            }
        }
    }

    proptest! {
        #[test]
        fn steps_equal_forward(seed: u64, cut in 1usize..11) {
            let (scorer, ..) = scorer(seed);
            let (z, c) = (noise(seed, &[2, 12, 5]), noise(seed ^ 9, &[2, 12, 3]));
            let whole = scorer.step(&z, &c, &mut scorer.zero_state(2).unwrap()).unwrap();
            let mut state = scorer.zero_state(2).unwrap();
            let part = |from: usize, n: usize| (z.narrow(1, from, n).unwrap(), c.narrow(1, from, n).unwrap());
            let (z1, c1) = part(0, cut);
            let (z2, c2) = part(cut, 12 - cut);
            let first = scorer.step(&z1, &c1, &mut state).unwrap();
            let second = scorer.step(&z2, &c2, &mut state).unwrap();
            let pieces = Tensor::cat(&[first, second], 1).unwrap();
            let known = |t: &Tensor| t.narrow(1, 4, 8).unwrap();
            prop_assert!(largest_difference(&known(&whole), &known(&pieces)).unwrap() <= 1e-5);
        }

        #[test]
        fn copies_of_the_bank_do_not_move_the_score(seed: u64) {
            let (once, _, bank) = scorer(seed);
            let twice = DelayedScorer::new(once.heads.clone(), &Tensor::cat(&[&bank, &bank], 0).unwrap()).unwrap();
            let (z, c) = (noise(seed, &[1, 8, 5]), noise(seed ^ 9, &[1, 8, 3]));
            let a = once.step(&z, &c, &mut once.zero_state(1).unwrap()).unwrap().narrow(1, 4, 4).unwrap();
            let b = twice.step(&z, &c, &mut twice.zero_state(1).unwrap()).unwrap().narrow(1, 4, 4).unwrap();
            prop_assert!(largest_difference(&a, &b).unwrap() <= 1e-5);
        }
    }
}
