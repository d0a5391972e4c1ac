//! Energy, flux, neighbours of log-mel means.

use super::rows::{moments, smooth};
use super::sound::BANDS;
use super::{Baseline, ROW, StreamFeatures};
use crate::error::Result;

/// Level over 0.5 s.
#[derive(Debug, Clone, Copy)]
pub struct Energy;

impl Baseline for Energy {
    fn name(&self) -> &'static str {
        "energy"
    }

    fn scores(&self, sound: &StreamFeatures, _: usize) -> Result<Vec<f64>> {
        Ok(smooth(&sound.levels.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()))
    }
}

/// How much the bands rise from one frame to the next, over 0.5 s.
#[derive(Debug, Clone, Copy)]
pub struct Flux;

impl Baseline for Flux {
    fn name(&self) -> &'static str {
        "spectral flux"
    }

    fn scores(&self, sound: &StreamFeatures, _: usize) -> Result<Vec<f64>> {
        let rows: Vec<&[f32]> = sound.log_mel.chunks_exact(BANDS).collect();
        let rise =
            |pair: &[&[f32]]| pair[0].iter().zip(pair[1]).map(|(a, b)| f64::from((b - a).max(0.0))).sum();
        let flux: Vec<f64> = std::iter::once(0.0).chain(rows.windows(2).map(rise)).collect();
        Ok(smooth(&flux))
    }
}

/// Distance to the third nearest row of the quiet part: mean of log-mel bands over 0.5 s, each band in its standard
/// deviations.
#[derive(Debug, Clone, Copy)]
pub struct Neighbours;

/// Neighbours.
const NEAREST: usize = 3;
/// Rows around one that are no neighbours of it: they share its window.
const APART: usize = 2 * super::rows::WINDOW / ROW;

impl Baseline for Neighbours {
    fn name(&self) -> &'static str {
        "log-mel kNN"
    }

    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>> {
        let both = moments(&sound.log_mel, BANDS);
        let mut rows: Vec<Vec<f64>> = both
            .chunks_exact(2 * BANDS)
            .map(|row| row.iter().take(BANDS).map(|&x| f64::from(x)).collect())
            .collect();
        let known = quiet.min(rows.len());
        for band in 0..BANDS {
            let of = |rows: &[Vec<f64>]| rows.iter().filter_map(|r| r.get(band).copied()).collect::<Vec<_>>();
            let values = of(rows.get(..known).unwrap_or_default());
            let n = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / n;
            let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-3);
            rows.iter_mut().filter_map(|r| r.get_mut(band)).for_each(|x| *x = (*x - mean) / sd);
        }
        let score = |(i, row): (usize, &Vec<f64>)| {
            let mut nearest = [f64::INFINITY; NEAREST];
            for (j, other) in rows.iter().take(known).enumerate() {
                if i.abs_diff(j) < APART {
                    continue;
                }
                let far: f64 = row.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
                if far < nearest[NEAREST - 1] {
                    nearest[NEAREST - 1] = far;
                    nearest.sort_by(f64::total_cmp);
                }
            }
            (nearest.iter().sum::<f64>() / NEAREST as f64).sqrt()
        };
        Ok(rows.iter().enumerate().map(score).collect())
    }
}
