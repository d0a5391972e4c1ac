//! The bank of negatives that ships with a model: prototypes of the training sound's latents.

use candle_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Cpc;
use crate::error::{Error, Result};
use crate::nn::StreamingModule;
use crate::units::HOP;

const ROUNDS: usize = 12;
/// Vectors in a bank.
const COUNT: usize = 64;
/// Latents that it is chosen from, at most.
const CANDIDATES: usize = 12_000;
/// Windows that are encoded at once.
const BATCH: usize = 16;

/// A bank of 64 negatives `[64, d]` for `cpc` out of the latents of `windows`, which are equally long and of 16 hops or
/// more each.
///
/// # Errors
/// When there are too few, or the device fails.
pub fn bank_of(cpc: &Cpc, windows: impl Iterator<Item = Vec<f32>>, seed: u64) -> Result<Tensor> {
    let mut latents: Vec<Vec<f32>> = Vec::new();
    let mut windows = windows.peekable();
    while windows.peek().is_some() && latents.len() < CANDIDATES {
        let batch: Vec<Vec<f32>> = windows.by_ref().take(BATCH).collect();
        let length = batch.first().map_or(0, Vec::len) / HOP * HOP;
        let flat: Vec<f32> = batch.iter().flat_map(|window| window.iter().take(length)).copied().collect();
        let samples = Tensor::from_vec(flat, (batch.len(), length), cpc.device())?;
        // neighbouring frames are alike, and the first frames depend on the silence before the window
        let frames = cpc.encoder().forward(&samples)?.to_vec3::<f32>()?;
        latents.extend(frames.into_iter().flat_map(|frames| frames.into_iter().skip(8).step_by(8)));
    }
    if latents.len() < 2 * COUNT {
        return Err(Error::config(
            format!("{} latents to choose negatives from, at least {} expected", latents.len(), 2 * COUNT),
            "give more sound: half a minute or longer",
        ));
    }
    Ok(Tensor::new(prototypes(&latents, COUNT, seed), cpc.device())?)
}

/// Picks `count` of the latents (each as wide as the first) by k-means, seeded as k-means++ does: the latent
/// nearest to each centre. Real latents rather than centres, since a mean is shorter than what it stands for.
fn prototypes(latents: &[Vec<f32>], count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let Some(first) = latents.get(rng.random_range(0..latents.len().max(1))) else { return Vec::new() };
    let mut centres = vec![first.clone()];
    let mut nearest: Vec<f32> = latents.iter().map(|z| distance(z, first)).collect();
    while centres.len() < count.min(latents.len()) {
        let total: f32 = nearest.iter().sum();
        let mut left = rng.random_range(0.0..total.max(f32::MIN_POSITIVE));
        let pick = nearest.iter().position(|d| {
            left -= d;
            left < 0.0
        });
        let Some(centre) = latents.get(pick.unwrap_or(latents.len() - 1)) else { break };
        for (d, z) in nearest.iter_mut().zip(latents) {
            *d = d.min(distance(z, centre));
        }
        centres.push(centre.clone());
    }
    for _ in 0..ROUNDS {
        let mut sums = vec![(vec![0f32; first.len()], 0u32); centres.len()];
        for z in latents {
            let home = closest(&centres, z);
            if let Some((sum, members)) = sums.get_mut(home) {
                sum.iter_mut().zip(z).for_each(|(s, x)| *s += x);
                *members += 1;
            }
        }
        for (centre, (sum, members)) in centres.iter_mut().zip(sums) {
            if members > 0 {
                *centre = sum.into_iter().map(|s| s / members as f32).collect();
            }
        }
    }
    centres
        .iter()
        .filter_map(|centre| {
            latents.iter().min_by(|a, b| distance(a, centre).total_cmp(&distance(b, centre)))
        })
        .cloned()
        .collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

fn closest(centres: &[Vec<f32>], z: &[f32]) -> usize {
    let measured = centres.iter().map(|centre| distance(centre, z)).enumerate();
    measured.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_gets_a_prototype_that_is_a_latent() {
        let mut latents = Vec::new();
        for (x, y) in [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)] {
            for i in 0..50 {
                latents.push(vec![x + 0.01 * i as f32, y - 0.01 * i as f32]);
            }
        }
        let chosen = prototypes(&latents, 3, 7);
        assert_eq!(chosen.len(), 3);
        assert!(chosen.iter().all(|c| latents.contains(c)));
        let homes: std::collections::BTreeSet<i32> =
            chosen.iter().map(|c| (c[0] / 5.0) as i32 + 10 * (c[1] / 5.0) as i32).collect();
        assert_eq!(homes.len(), 3);
    }
}
