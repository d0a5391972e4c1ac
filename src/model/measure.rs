//! InfoNCE figures of a model on held-out recordings.

use candle_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cpc, Figures};
use crate::error::{Error, Result};
use crate::nn::StreamingModule;
use crate::predict::{Anchors, InfoNceTerms, NegativeSet, Negatives, from_other_windows, mixtures};
use crate::units::HOP;

/// Samples of a training or evaluation window: 1.28 s, 128 frames (arXiv 1807.03748, section 3.1).
pub const WINDOW: usize = 20_480;

/// Seed of the negatives that are drawn for evaluation.
const SEED: u64 = 20_480;

/// Measures loss and accuracy over `windows` of [`WINDOW`] samples each. Neighbours in the list should come
/// from different recordings, since the windows of one batch are one another's negatives, and what was added to one is
/// its neighbour. A queue holds the batch before. Windows that do not fill a batch are left out.
///
/// # Errors
/// When the model has no heads, there are fewer windows than one batch, or the device fails.
pub fn measure(cpc: &Cpc, windows: &[Vec<f32>], batch: usize, negatives: &Negatives) -> Result<Figures> {
    let horizons = cpc.require_heads()?.horizons();
    let groups: Vec<&[Vec<f32>]> = windows.chunks_exact(batch.max(1)).collect();
    let Some(last) = groups.last() else {
        return Err(Error::config(
            format!("{} held-out windows of 1.28 s found, {batch} needed", windows.len()),
            "give more recordings, or longer ones",
        ));
    };
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut losses, mut accuracies) = (vec![0.0; horizons], vec![0.0; horizons]);
    // the queue of the first batch is the last one
    let mut before =
        if negatives.queue() > 0 { Some(cpc.encoder().forward(&tensor_of(cpc, last)?)?) } else { None };
    for group in &groups {
        let (terms, latents) = measure_batch(cpc, group, negatives, before.as_ref(), &mut rng)?;
        before = before.map(|_| latents);
        let add = |sums: &mut [f64], means: Vec<f32>| {
            for (sum, mean) in sums.iter_mut().zip(means) {
                *sum += f64::from(mean);
            }
        };
        add(&mut losses, terms.loss.to_vec1()?);
        add(&mut accuracies, terms.accuracy.to_vec1()?);
    }
    let mean =
        |sums: Vec<f64>| -> Vec<f64> { sums.into_iter().map(|s| round(s / groups.len() as f64)).collect() };
    let overall = |per_k: &[f64]| round(per_k.iter().sum::<f64>() / per_k.len() as f64);
    let (loss_per_k, accuracy_per_k) = (mean(losses), mean(accuracies));
    let count = negatives.count(WINDOW / HOP) + negatives.queue();
    let choices = (count + 1) as f64;
    Ok(Figures {
        clips: 0,
        windows: groups.len() * batch,
        negatives: count,
        chance_loss: round(choices.ln()),
        chance_accuracy: round(1.0 / choices),
        loss: overall(&loss_per_k),
        accuracy: overall(&accuracy_per_k),
        loss_per_k,
        accuracy_per_k,
    })
}

fn measure_batch(
    cpc: &Cpc,
    group: &[Vec<f32>],
    negatives: &Negatives,
    before: Option<&Tensor>,
    rng: &mut ChaCha8Rng,
) -> Result<(InfoNceTerms, Tensor)> {
    let heads = cpc.require_heads()?;
    let batch = group.len();
    let samples = tensor_of(cpc, group)?;
    let latents = cpc.encoder().forward(&samples)?;
    let contexts = cpc.context().forward(&latents)?;
    let mut sets = Vec::new();
    if negatives.has_within() {
        sets.push(NegativeSet::Within { zone: negatives.within_zone, weight: 1.0 });
    }
    if negatives.cross() > 0 {
        let others = from_other_windows(&latents, negatives.cross(), |below| rng.random_range(0..below))?;
        sets.push(NegativeSet::Shared { latents: others, weight: 1.0 });
    }
    if let Some(before) = before {
        let (windows, frames, width) = before.dims3()?;
        let most = (windows * frames) as u32;
        let picks: Vec<u32> = (0..batch * negatives.queue()).map(|_| rng.random_range(0..most)).collect();
        let flat = before.contiguous()?.reshape((windows * frames, width))?;
        let queue = flat.index_select(&Tensor::new(picks, before.device())?, 0)?;
        let queue = queue.reshape((batch, negatives.queue(), width))?;
        sets.push(NegativeSet::Shared { latents: queue, weight: 1.0 });
    }
    for round in 1..=negatives.foreign() {
        let pairs = group.iter().enumerate().filter_map(|(i, own)| {
            let foreign = group.get((i + round) % batch)?;
            let (low, high) = negatives.foreign_db;
            Some((own.as_slice(), foreign.as_slice(), rng.random_range(low..=high)))
        });
        let (mixed, untouched) = mixtures(pairs);
        let mixed = Tensor::from_vec(mixed, (batch, WINDOW), cpc.device())?;
        let untouched = Tensor::from_vec(untouched, (batch, WINDOW / HOP), cpc.device())?;
        let latents = cpc.encoder().forward(&mixed)?;
        sets.push(NegativeSet::Own { latents, untouched, weight: 1.0 });
    }
    let anchors = Anchors::new(heads, &contexts, &Anchors::all(WINDOW / HOP, heads.horizons()))?;
    Ok((anchors.info_nce(&latents, &sets)?, latents))
}

fn tensor_of(cpc: &Cpc, group: &[Vec<f32>]) -> Result<Tensor> {
    let flat: Vec<f32> = group.iter().flatten().copied().collect();
    Ok(Tensor::from_vec(flat, (group.len(), WINDOW), cpc.device())?)
}

/// Four decimals: what the figures mean, whatever machine adds them up.
fn round(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}
