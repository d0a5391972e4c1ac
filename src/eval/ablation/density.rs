//! Density scores, each alone.

use std::ops::Range;

use super::mahalanobis::density_scores;
use super::{ComponentScore, StreamFrames};
use crate::detect::{BackgroundModel, DEPARTURE, FeatureExtractor, HALF, UNEXPECTED};
use crate::error::Result;
use crate::eval::baselines::{ROW, moments};
use crate::frame::Frame;

/// The input of a density, over 0.5 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DensityInput {
    /// Mean of z, Mahalanobis with shrinkage.
    LatentMahalanobis,
    /// Mean of z, 1 − cosine to the 3 nearest of the quiet part.
    LatentNeighbours,
    /// Mean of z, 1 − cosine to the nearest of 16 centres of the quiet part (spherical k-means).
    LatentCentres,
    /// Mean of c, Mahalanobis with shrinkage.
    ContextMahalanobis,
    /// Mean and deviation of log-mel bands, Mahalanobis: the density of the site.
    Bands,
    /// Mean and deviation of their residuals given contexts, Mahalanobis.
    ContextResidual,
    /// Mean and deviation of their residuals given the bands of 30 ms before and their averages, Mahalanobis: the same
    /// without a context.
    BandResidual,
    /// Bands and their residuals given contexts, together.
    BandsAndContextResidual,
}

/// A density as the only score.
#[derive(Debug, Clone, Copy)]
pub struct Density {
    /// Its input.
    pub over: DensityInput,
}

impl ComponentScore for Density {
    fn name(&self) -> String {
        match self.over {
            DensityInput::LatentMahalanobis => "z, Mahalanobis",
            DensityInput::LatentNeighbours => "z, cosine to the 3 nearest",
            DensityInput::LatentCentres => "z, cosine to 16 centres",
            DensityInput::ContextMahalanobis => "c, Mahalanobis",
            DensityInput::Bands => "bands, Mahalanobis",
            DensityInput::ContextResidual => "residual given c, Mahalanobis",
            DensityInput::BandResidual => "residual given past bands, Mahalanobis",
            DensityInput::BandsAndContextResidual => "bands and residual given c",
        }
        .to_owned()
    }

    fn rows(&self, stream_frames: &StreamFrames, quiet: usize) -> Result<Vec<f64>> {
        let means = |of: fn(&Frame) -> &[f32]| {
            let width = stream_frames.frames.first().map_or(0, |f| of(f).len());
            let flat: Vec<f32> = stream_frames.frames.iter().flat_map(of).copied().collect();
            let both = moments(&flat, width);
            let means: Vec<f32> = both.chunks_exact(2 * width).flat_map(|r| &r[..width]).copied().collect();
            (means, width)
        };
        match self.over {
            DensityInput::LatentMahalanobis => {
                let (means, width) = means(|f| &f.z);
                density_scores(&means, width, quiet)
            }
            DensityInput::ContextMahalanobis => {
                let (means, width) = means(|f| &f.c);
                density_scores(&means, width, quiet)
            }
            DensityInput::LatentNeighbours => {
                let (means, width) = means(|f| &f.z);
                Ok(neighbours(&unit(&means, width), quiet))
            }
            DensityInput::LatentCentres => {
                let (means, width) = means(|f| &f.z);
                Ok(centres(&unit(&means, width), quiet))
            }
            DensityInput::Bands => raw(stream_frames, quiet, &[HALF]),
            DensityInput::ContextResidual => raw(stream_frames, quiet, &[UNEXPECTED]),
            DensityInput::BandResidual => raw(stream_frames, quiet, &[DEPARTURE]),
            DensityInput::BandsAndContextResidual => raw(stream_frames, quiet, &[HALF, UNEXPECTED]),
        }
    }
}

/// Of parts of the rows that the detector makes.
fn raw(stream_frames: &StreamFrames, quiet: usize, parts: &[Range<usize>]) -> Result<Vec<f64>> {
    let known = (quiet * ROW).min(stream_frames.frames.len());
    let flat = |of: fn(&Frame) -> &[f32]| -> Vec<f32> {
        stream_frames.frames.iter().take(known).flat_map(of).copied().collect()
    };
    let width = stream_frames.frames.first().map_or(0, |f| f.c.len());
    let site = BackgroundModel::fit(&flat(|f| &f.bands), &flat(|f| &f.c), width)?;
    let (mut maker, mut raw, mut vectors) = (FeatureExtractor::new(), Vec::new(), Vec::new());
    for (i, frame) in stream_frames.frames.iter().enumerate() {
        site.push((&frame.bands, &frame.c), &mut maker);
        if (i + 1) % ROW == 0 {
            site.raw_row(&mut maker, &mut raw);
            parts
                .iter()
                .for_each(|part| vectors.extend_from_slice(raw.get(part.clone()).unwrap_or_default()));
        }
    }
    density_scores(&vectors, parts.iter().map(Range::len).sum(), quiet)
}

fn unit(rows: &[f32], width: usize) -> Vec<Vec<f32>> {
    let one = |row: &[f32]| {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
        row.iter().map(|x| x / norm).collect()
    };
    rows.chunks_exact(width.max(1)).map(one).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>())
}

fn neighbours(rows: &[Vec<f32>], quiet: usize) -> Vec<f64> {
    let known = rows.get(20..quiet).unwrap_or_default();
    let score = |row: &Vec<f32>| {
        let mut near = [f64::NEG_INFINITY; 3];
        for other in known {
            let cosine = dot(row, other);
            if cosine > near[2] {
                near[2] = cosine;
                near.sort_by(|a, b| b.total_cmp(a));
            }
        }
        1.0 - near.iter().sum::<f64>() / 3.0
    };
    rows.iter().map(score).collect()
}

fn centres(rows: &[Vec<f32>], quiet: usize) -> Vec<f64> {
    let known = rows.get(20..quiet).unwrap_or_default();
    let mut centres: Vec<Vec<f32>> =
        known.iter().step_by((known.len() / 16).max(1)).take(16).cloned().collect();
    for _ in 0..10 {
        let mut sums = vec![vec![0f32; known.first().map_or(0, Vec::len)]; centres.len()];
        for row in known {
            let home =
                (0..centres.len()).max_by(|&a, &b| dot(row, &centres[a]).total_cmp(&dot(row, &centres[b])));
            if let Some(sum) = home.and_then(|h| sums.get_mut(h)) {
                sum.iter_mut().zip(row).for_each(|(s, x)| *s += x);
            }
        }
        for (centre, sum) in centres.iter_mut().zip(sums) {
            let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
            if norm > 1e-6 {
                *centre = sum.into_iter().map(|x| x / norm).collect();
            }
        }
    }
    let best = |row: &Vec<f32>| centres.iter().map(|c| dot(row, c)).fold(f64::NEG_INFINITY, f64::max);
    rows.iter().map(|row| 1.0 - best(row)).collect()
}
