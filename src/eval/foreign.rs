//! AUC of frames with a foreign sound: a measure of detection without calibration or a gate.

use candle_core::Tensor;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::model::{Cpc, WINDOW};
use crate::predict::mixtures;
use crate::roc::Roc;
use crate::units::HOP;

/// Frames of a window.
const FRAMES: usize = WINDOW / HOP;
/// The foreign sound begins here.
const ONSET: usize = FRAMES / 2;
/// Horizons whose frames share samples with the context say little.
const SKIPPED: usize = 2;

/// Area under the ROC curve (0.5 for a guess) of frames with a foreign sound against the same frames without, window by
/// window, mean over windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ForeignAuc {
    /// By surprise: minus the mean PMI over k > 2.
    pub surprise: f64,
    /// By the distance of z_t from the window's first half, in standard deviations, mean over channels.
    pub distance: f64,
    /// Windows that were measured.
    pub windows: usize,
}

/// Mixes into the second half of each window its neighbour at `level_db` relative to it. The model needs a bank.
///
/// # Errors
/// When the model cannot score, or there are no two windows.
pub fn foreign_auc(cpc: &Cpc, windows: &[Vec<f32>], level_db: f32) -> Result<ForeignAuc> {
    cpc.require_scorer()?;
    let (mut surprise, mut distance) = (Vec::new(), Vec::new());
    for (own, foreign) in windows.iter().zip(windows.iter().cycle().skip(1)) {
        let mut foreign = foreign.clone();
        foreign.iter_mut().take(ONSET * HOP).for_each(|x| *x = 0.0);
        let (mixed, untouched) = mixtures(std::iter::once((own.as_slice(), foreign.as_slice(), level_db)));
        let touched: Vec<usize> =
            (ONSET..FRAMES).filter(|&t| untouched.get(t).is_some_and(|&u| u == 0.0)).collect();
        if touched.is_empty() {
            continue;
        }
        let (clean, with) = (scores(cpc, own)?, scores(cpc, &mixed)?);
        let normal: Vec<usize> = (ONSET..FRAMES).collect();
        let pick = |all: &[f64], at: &[usize]| -> Vec<f64> {
            at.iter().filter_map(|&t| all.get(t).copied()).collect()
        };
        surprise.push(auc(&pick(&with.0, &touched), &pick(&clean.0, &normal)));
        distance.push(auc(&pick(&with.1, &touched), &pick(&clean.1, &normal)));
    }
    if surprise.is_empty() {
        return Err(Error::config("no held-out windows to mix foreign sounds into", "give more recordings"));
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    Ok(ForeignAuc { surprise: mean(&surprise), distance: mean(&distance), windows: surprise.len() })
}

/// Surprise and distance of every frame.
fn scores(cpc: &Cpc, window: &[f32]) -> Result<(Vec<f64>, Vec<f64>)> {
    let output = cpc.forward(&Tensor::from_slice(window, (1, window.len()), cpc.device())?)?;
    let pmi = output.pmi.ok_or_else(|| Error::internal("the model gave no scores"))?;
    let surprise = pmi.squeeze(0)?.to_vec2::<f32>()?;
    let surprise = surprise.iter().map(|row| {
        let known: Vec<f64> =
            row.iter().skip(SKIPPED).map(|&x| f64::from(x)).filter(|x| x.is_finite()).collect();
        -known.iter().sum::<f64>() / known.len().max(1) as f64
    });
    let latents = output.latents.squeeze(0)?.to_vec2::<f32>()?;
    let before: Vec<&Vec<f32>> = latents.iter().take(ONSET).skip(ONSET / 8).collect();
    let width = latents.first().map_or(0, Vec::len);
    let moments = (0..width).map(|j| {
        let values: Vec<f64> = before.iter().filter_map(|row| row.get(j)).map(|&x| f64::from(x)).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64;
        (mean, variance.sqrt().max(1e-2))
    });
    let moments: Vec<(f64, f64)> = moments.collect();
    let far = |row: &Vec<f32>| {
        let off =
            row.iter().zip(&moments).map(|(&x, (mean, sd))| ((f64::from(x) - mean) / sd).abs().min(10.0));
        off.sum::<f64>() / width.max(1) as f64
    };
    Ok((surprise.collect(), latents.iter().map(far).collect()))
}

/// The chance that one of `high` exceeds one of `low`; ties count half.
fn auc(high: &[f64], low: &[f64]) -> f64 {
    Roc::of(high, low).map_or(0.5, |roc| roc.auc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_hears_a_tone_in_noise() {
        let (_, cpc) = crate::model::embedded(&candle_core::Device::Cpu).unwrap();
        let noise = |seed: u32| {
            let mut state = seed;
            let next = move || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                0.02 * ((state >> 8) as f32 / 8_388_608.0 - 1.0)
            };
            std::iter::repeat_with(next).take(WINDOW).collect::<Vec<f32>>()
        };
        let tone: Vec<f32> = (0..WINDOW).map(|i| 0.3 * (i as f32 * 0.5).sin()).collect();
        let found = foreign_auc(&cpc, &[noise(1), tone.clone()], 6.0).unwrap();
        assert_eq!(found.windows, 2);
        assert!(found.distance > 0.9, "{found:?}");
    }
}
