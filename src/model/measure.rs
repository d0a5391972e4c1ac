//! InfoNCE figures of a model on held-out recordings.

use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cpc, Figures};
use crate::error::{Error, Result};
use crate::predict::{InfoNce, Negatives};
use crate::units::HOP;

/// Samples of a training or evaluation window: 1.28 s, 128 frames (arXiv 1807.03748, section 3.1).
pub const WINDOW: usize = 20_480;

/// Seed of the negatives that are drawn for evaluation.
const SEED: u64 = 20_480;

/// Measures loss and accuracy over `windows` of [`WINDOW`] samples each. Neighbours in the list should come
/// from different recordings, since the windows of one batch are one another's negatives. Windows that do not
/// fill a batch are left out.
///
/// # Errors
/// When there are fewer windows than one batch, or the device fails.
pub fn measure(cpc: &Cpc, windows: &[Vec<f32>], batch: usize, negatives: Negatives) -> Result<Figures> {
    let device = Device::Cpu;
    let heads = cpc.require_heads()?;
    let horizons = heads.horizons();
    let loss = InfoNce::new(negatives, WINDOW / HOP, horizons, &device)?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut losses, mut accuracies) = (vec![0.0; horizons], vec![0.0; horizons]);
    let mut batches = 0usize;
    for group in windows.chunks_exact(batch) {
        let flat: Vec<f32> = group.iter().flatten().copied().collect();
        let samples = Tensor::from_vec(flat, (batch, WINDOW), cpc.device())?;
        let output = cpc.forward(&samples)?;
        let draw = |below: usize| rng.random_range(0..below);
        let terms = loss.terms(heads, &output.latents, &output.contexts, draw)?;
        let add = |sums: &mut [f64], means: Vec<f32>| {
            for (sum, mean) in sums.iter_mut().zip(means) {
                *sum += f64::from(mean);
            }
        };
        add(&mut losses, terms.loss.to_vec1()?);
        add(&mut accuracies, terms.accuracy.to_vec1()?);
        batches += 1;
    }
    if batches == 0 {
        return Err(Error::config(
            format!("{} held-out windows of 1.28 s found, {batch} needed", windows.len()),
            "give more recordings, or longer ones",
        ));
    }
    let mean = |sums: Vec<f64>| -> Vec<f64> { sums.into_iter().map(|s| round(s / batches as f64)).collect() };
    let overall = |per_k: &[f64]| round(per_k.iter().sum::<f64>() / per_k.len() as f64);
    let (loss_per_k, accuracy_per_k) = (mean(losses), mean(accuracies));
    let choices = (loss.negatives() + 1) as f64;
    Ok(Figures {
        clips: 0,
        windows: batches * batch,
        negatives: loss.negatives(),
        chance_loss: round(choices.ln()),
        chance_accuracy: round(1.0 / choices),
        loss: overall(&loss_per_k),
        accuracy: overall(&accuracy_per_k),
        loss_per_k,
        accuracy_per_k,
    })
}

/// Four decimals: what the figures mean, whatever machine adds them up.
fn round(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}
