//! Features that need no learning: MFCC of log-mel energies.

use std::f64::consts::PI;

pub use crate::units::BANDS;

/// Cepstral coefficients, the 0th among them.
pub const COEFFICIENTS: usize = 13;
/// Frames on each side of the regression for Δ.
const REACH: usize = 2;

/// Orthonormal DCT-II: `[COEFFICIENTS][bands]`.
fn dct(bands: usize) -> Vec<Vec<f64>> {
    let entry = |k: usize, n: usize| {
        let scale = if k == 0 { 1.0 } else { 2.0 } / bands as f64;
        scale.sqrt() * (PI * k as f64 * (n as f64 + 0.5) / bands as f64).cos()
    };
    (0..COEFFICIENTS).map(|k| (0..bands).map(|n| entry(k, n)).collect()).collect()
}

/// MFCC with Δ and ΔΔ, `[frames, 39]`, of log-mel energies `[frames, bands]`.
#[must_use]
pub fn mfcc(log_mel: &[f32], bands: usize) -> Vec<f32> {
    let basis = dct(bands);
    let project = |frame: &[f32]| -> Vec<f64> {
        basis.iter().map(|row| row.iter().zip(frame).map(|(b, &x)| b * f64::from(x)).sum()).collect()
    };
    let cepstra: Vec<Vec<f64>> = log_mel.chunks_exact(bands.max(1)).map(project).collect();
    let slopes = deltas(&cepstra);
    let bends = deltas(&slopes);
    let all = cepstra.iter().zip(&slopes).zip(&bends);
    all.flat_map(|((c, d), dd)| c.iter().chain(d).chain(dd)).map(|&x| x as f32).collect()
}

/// Slope of each feature by regression over ±2 frames; the first and the last frame are repeated beyond the edges.
fn deltas(frames: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let norm = 2.0 * (1..=REACH).map(|n| (n * n) as f64).sum::<f64>();
    let at = |u: usize| frames.get(u.min(frames.len().saturating_sub(1)));
    let slope = |u: usize, feature: usize| -> f64 {
        let of = |frame: Option<&Vec<f64>>| frame.and_then(|f| f.get(feature)).copied().unwrap_or(0.0);
        let terms = (1..=REACH).map(|n| n as f64 * (of(at(u + n)) - of(at(u.saturating_sub(n)))));
        terms.sum::<f64>() / norm
    };
    (0..frames.len())
        .map(|u| (0..frames.first().map_or(0, Vec::len)).map(|i| slope(u, i)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dct_is_orthonormal_and_keeps_a_flat_spectrum_in_c0() {
        let basis = dct(BANDS);
        for (i, a) in basis.iter().enumerate() {
            for (j, b) in basis.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "rows {i} and {j}");
            }
        }
        let cepstrum = mfcc(&[3.0; BANDS], BANDS);
        assert!((cepstrum[0] - 3.0 * (BANDS as f32).sqrt()).abs() < 1e-4);
        assert!(cepstrum[1..].iter().all(|x| x.abs() < 1e-4));
    }

    #[test]
    fn a_ramp_has_its_slope_as_delta_and_no_second_delta() {
        let ramp: Vec<Vec<f64>> = (0..12).map(|u| vec![0.5 * f64::from(u), -2.0 * f64::from(u)]).collect();
        let slopes = deltas(&ramp);
        for slope in &slopes[2..10] {
            assert!((slope[0] - 0.5).abs() < 1e-12 && (slope[1] + 2.0).abs() < 1e-12);
        }
        assert!(deltas(&slopes)[4..8].iter().flatten().all(|x| x.abs() < 1e-12));
        // at the edge, the frames beyond are the edge: (1·0.5 + 2·1.0) / 10
        assert!((slopes[0][0] - 0.25).abs() < 1e-12);
    }
}
