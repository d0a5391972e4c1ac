//! The generalised Pareto law of excesses over a high threshold.

use serde::{Deserialize, Serialize};

use crate::detect::exact::exact;

/// Shapes that a fit may give.
const SHAPE_RANGE: (f64, f64) = (-0.5, 0.5);
/// Mean and standard deviation of the normal prior on the shape.
const SHAPE_PRIOR: (f64, f64) = (0.1, 0.2);
/// Below this |γ| the exponential limit is used.
const EXPONENTIAL: f64 = 1e-6;

/// P(Y > y) = (1 + γ·y/σ)^(−1/γ) for y ≥ 0; exp(−y/σ) for γ → 0; 0 beyond −σ/γ where γ < 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpd {
    /// γ: 0 for an exponential tail, above for heavier ones, below for bounded ones.
    pub shape: f64,
    /// σ > 0, in units of the score.
    pub scale: f64,
}

exact!(Gpd { shape, scale });

impl Gpd {
    /// The most probable law of `excesses` (all > 0): profile likelihood over γ in [−0.5, 0.5] with a normal
    /// prior of mean 0.1 and deviation 0.2 on γ. With a dozen excesses the prior keeps γ from the edges, with
    /// hundreds it no longer matters. For given γ the likelihood has one maximum in σ, where
    /// (1+γ)·Σ y/(σ+γy) = N.
    #[must_use]
    pub fn fit(excesses: &[f64]) -> Self {
        let objective = |shape: f64| {
            let (mean, sd) = SHAPE_PRIOR;
            let scale = best_scale(excesses, shape);
            Self { shape, scale }.log_likelihood(excesses) - ((shape - mean) / sd).powi(2) / 2.0
        };
        let (low, high) = SHAPE_RANGE;
        let step = 0.05;
        let steps = ((high - low) / step).round() as usize;
        let mut best = (low, f64::NEG_INFINITY);
        for i in 0..=steps {
            let shape = low + i as f64 * step;
            let value = objective(shape);
            if value > best.1 {
                best = (shape, value);
            }
        }
        let shape = golden_maximum(objective, (best.0 - step).max(low), (best.0 + step).min(high));
        Self { shape, scale: best_scale(excesses, shape) }
    }

    /// The most probable law without an end: that of [`fit`](Self::fit), or where its γ is below 0 the exponential one, for
    /// which σ is the mean.
    ///
    /// Where some dozen excesses suggest an end, all beyond it would be impossible, and the first normal second that went a
    /// little further as rare as the rarest there is.
    #[must_use]
    pub fn fit_unbounded(excesses: &[f64]) -> Self {
        let law = Self::fit(excesses);
        if law.shape >= 0.0 { law } else { Self { shape: 0.0, scale: best_scale(excesses, 0.0) } }
    }

    /// P(Y > y), in [0, 1].
    #[must_use]
    pub fn survival(&self, y: f64) -> f64 {
        let x = y.max(0.0) / self.scale;
        if self.shape.abs() < EXPONENTIAL {
            return (-x).exp();
        }
        let base = self.shape * x;
        if base <= -1.0 { 0.0 } else { (-base.ln_1p() / self.shape).exp() }
    }

    /// The y ≥ 0 for which P(Y > y) = `p`, 0 < p ≤ 1.
    #[must_use]
    pub fn inverse_survival(&self, p: f64) -> f64 {
        let rate = -p.min(1.0).ln();
        if self.shape.abs() < EXPONENTIAL {
            return self.scale * rate;
        }
        self.scale * (self.shape * rate).exp_m1() / self.shape
    }

    /// ln of the density of independent `excesses`: −N·ln σ − (1 + 1/γ)·Σ ln(1 + γ·y/σ).
    #[must_use]
    pub fn log_likelihood(&self, excesses: &[f64]) -> f64 {
        let n = excesses.len() as f64;
        let sum: f64 = if self.shape.abs() < EXPONENTIAL {
            excesses.iter().map(|y| y / self.scale).sum()
        } else {
            let factor = 1.0 + 1.0 / self.shape;
            excesses.iter().map(|y| factor * (self.shape * y / self.scale).ln_1p()).sum()
        };
        -n * self.scale.ln() - sum
    }
}

/// The σ that maximises the likelihood for `shape`, by bisection of the score equation, whose left side falls in
/// σ. Brackets: y/(σ+γy) ≤ y/σ for γ ≥ 0, and ≤ y/(σ−|γ|·max y) for γ < 0.
fn best_scale(excesses: &[f64], shape: f64) -> f64 {
    let n = excesses.len() as f64;
    let mean = excesses.iter().sum::<f64>() / n;
    let support = (-shape).max(0.0) * excesses.iter().copied().fold(0.0, f64::max);
    let (mut low, mut high) = (support, (1.0 + shape) * mean + support);
    for _ in 0..60 {
        let scale = f64::midpoint(low, high);
        let sum: f64 = excesses.iter().map(|y| y / (scale + shape * y)).sum();
        if (1.0 + shape) * sum > n {
            low = scale;
        } else {
            high = scale;
        }
    }
    high
}

/// Where `f` is largest in [low, high], for `f` with one maximum, by golden-section search.
fn golden_maximum(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = 0.618_033_988_749_894_9;
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut fa, mut fb) = (f(a), f(b));
    for _ in 0..24 {
        if fa >= fb {
            (high, b, fb) = (b, a, fa);
            a = high - ratio * (high - low);
            fa = f(a);
        } else {
            (low, a, fa) = (a, b, fb);
            b = low + ratio * (high - low);
            fb = f(b);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn sample(law: Gpd, n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| law.inverse_survival(1.0 - rng.random::<f64>())).collect()
    }

    #[test]
    fn a_tail_that_seems_to_end_is_taken_as_exponential() {
        let bounded = sample(Gpd { shape: -0.4, scale: 1.0 }, 60, 3);
        assert!(Gpd::fit(&bounded).shape < 0.0);
        let law = Gpd::fit_unbounded(&bounded);
        let mean = bounded.iter().sum::<f64>() / bounded.len() as f64;
        assert!(law.shape == 0.0 && (law.scale / mean - 1.0).abs() < 1e-6, "{law:?}");
        let largest = bounded.iter().copied().fold(0.0, f64::max);
        assert!(law.survival(1.2 * largest) > 1e-4);
        let heavy = sample(Gpd { shape: 0.4, scale: 1.0 }, 200, 4);
        assert_eq!(Gpd::fit_unbounded(&heavy), Gpd::fit(&heavy));
    }

    #[test]
    fn survival_has_its_closed_forms() {
        let exponential = Gpd { shape: 0.0, scale: 2.0 };
        assert!((exponential.survival(3.0) - (-1.5f64).exp()).abs() < 1e-15);
        let half = Gpd { shape: 0.5, scale: 1.0 };
        assert!((half.survival(2.0) - 0.25).abs() < 1e-15);
        let bounded = Gpd { shape: -0.5, scale: 1.0 };
        assert!((bounded.survival(1.0) - 0.25).abs() < 1e-15);
        assert_eq!(bounded.survival(2.0), 0.0);
        let near = Gpd { shape: 1e-5, scale: 2.0 };
        assert!((near.survival(3.0) - exponential.survival(3.0)).abs() < 1e-5);
    }

    /// Made with scipy 1.17.1: `genpareto.sf(y, shape, scale=scale)`.
    #[test]
    fn survival_agrees_with_scipy() {
        for (shape, scale, y, expected) in [
            (-0.4, 1.0, 0.5, 5.724_334_022_399e-1),
            (-0.4, 1.0, 2.4, 3.2e-4),
            (-0.2, 2.0, 3.0, 1.6807e-1),
            (-0.2, 2.0, 11.0, 0.0),
            (0.0, 0.434, 2.0, 9.968_801_320_468e-3),
            (0.1, 1.5, 4.0, 9.405_385_072_968e-2),
            (0.1, 1.5, 40.0, 2.276_594_569_752e-6),
            (0.25, 0.3, 7.0, 4.586_375_139_299e-4),
            (0.5, 2.0, 100.0, 1.479_289_940_828e-3),
        ] {
            let survival = Gpd { shape, scale }.survival(y);
            let reported = format!("{survival} for {shape} {scale} {y}, scipy gives {expected}");
            assert!((survival - expected).abs() <= 1e-11 * expected, "{reported}");
        }
    }

    /// Made with scipy 1.17.1: `genpareto.fit(excesses, floc=0)`, polished with Nelder-Mead, and the sum of
    /// `genpareto.logpdf` there. The mode under the prior is where that sum less the penalty is largest, again by
    /// Nelder-Mead.
    ///
    /// The prior moves the fit off the maximum of the likelihood; being a mode, it loses at most the difference of
    /// the two penalties. For these 20 and 21 values the loss is 0.03 and 0.31 nats.
    #[test]
    fn fits_agree_with_scipy() {
        let heavy = [
            0.05, 0.11, 0.18, 0.26, 0.33, 0.42, 0.50, 0.61, 0.72, 0.85, 0.99, 1.14, 1.32, 1.54, 1.80, 2.15,
            2.62, 3.38, 4.71, 7.90,
        ];
        let light = [
            0.02, 0.05, 0.09, 0.13, 0.17, 0.22, 0.26, 0.31, 0.37, 0.43, 0.49, 0.56, 0.64, 0.73, 0.82, 0.95,
            1.08, 1.27, 1.52, 1.90, 2.15,
        ];
        let penalty = |shape: f64| ((shape - SHAPE_PRIOR.0) / SHAPE_PRIOR.1).powi(2) / 2.0;
        for (excesses, likeliest, log_likelihood, mode) in [
            (&heavy[..], (0.206_878, 1.261_619), -28.785_483_6, (0.138_239, 1.343_231)),
            (&light[..], (-0.229_251, 0.836_095), -12.426_446_2, (0.005_597, 0.671_366)),
        ] {
            let (shape, scale) = likeliest;
            let reference = Gpd { shape, scale };
            assert!((reference.log_likelihood(excesses) - log_likelihood).abs() < 1e-6);
            assert!((best_scale(excesses, shape) - scale).abs() < 1e-4);

            let law = Gpd::fit(excesses);
            assert!((law.shape - mode.0).abs() < 1e-3 && (law.scale - mode.1).abs() < 1e-3, "{law:?}");
            let lost = log_likelihood - law.log_likelihood(excesses);
            assert!((-1e-6..=penalty(shape) - penalty(law.shape)).contains(&lost), "{lost}");
            assert!(lost < 0.32, "{lost}");
        }
    }

    #[test]
    fn the_best_scale_of_an_exponential_is_its_mean() {
        let excesses = [0.5, 1.0, 1.5, 4.0];
        assert!((best_scale(&excesses, 0.0) - 1.75).abs() < 1e-12);
    }

    #[test]
    fn the_fit_is_a_maximum() {
        let (mean, sd) = SHAPE_PRIOR;
        let excesses = sample(Gpd { shape: 0.2, scale: 1.5 }, 200, 3);
        let posterior = |law: Gpd| law.log_likelihood(&excesses) - ((law.shape - mean) / sd).powi(2) / 2.0;
        let law = Gpd::fit(&excesses);
        for (shape, scale) in [(0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01)] {
            let beside = Gpd { shape: law.shape + shape, scale: law.scale * (1.0 + scale) };
            assert!(posterior(beside) < posterior(law), "{beside:?} beats {law:?}");
        }
    }

    #[test]
    fn known_laws_are_recovered() {
        for (shape, scale) in [(-0.3, 1.0), (0.0, 2.0), (0.1, 0.01), (0.3, 50.0)] {
            let law = Gpd::fit(&sample(Gpd { shape, scale }, 4000, 11));
            assert!((law.shape - shape).abs() < 0.05, "{law:?} for {shape} {scale}");
            assert!((law.scale / scale - 1.0).abs() < 0.06, "{law:?} for {shape} {scale}");
        }
    }

    #[test]
    fn few_excesses_stay_near_the_prior() {
        for seed in 0..20 {
            let law = Gpd::fit(&sample(Gpd { shape: 0.1, scale: 1.0 }, 6, seed));
            assert!((-0.35..=0.45).contains(&law.shape), "{law:?}");
            assert!((0.2..5.0).contains(&law.scale), "{law:?}");
        }
    }

    proptest! {
        #[test]
        fn inverse_survival_inverts(shape in -0.5..0.5f64, scale in 1e-3..1e3f64, p in 1e-9..1.0f64) {
            let law = Gpd { shape, scale };
            prop_assert!((law.survival(law.inverse_survival(p)) / p - 1.0).abs() < 1e-6);
        }

        #[test]
        fn any_excesses_give_a_law(excesses in prop::collection::vec(1e-9..1e6f64, 1..40)) {
            let law = Gpd::fit(&excesses);
            prop_assert!(law.scale > 0.0 && law.scale.is_finite());
            prop_assert!((-0.5..=0.5).contains(&law.shape));
        }
    }
}
