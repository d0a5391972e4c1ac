//! Filters that faults and controls are made with.

use crate::units::{MODEL_RATE, rms};

/// A filter of second order (R. Bristow-Johnson, "Audio EQ Cookbook").
#[derive(Debug, Clone)]
pub(super) struct Biquad {
    /// b0, b1, b2, a1, a2, divided by a0.
    taps: [f64; 5],
    state: [f64; 2],
}

impl Biquad {
    /// Lets the band around `hz` pass, 0 dB at its centre.
    pub(super) fn band_pass(hz: f64, q: f64) -> Self {
        let (w, alpha) = angle(hz, q);
        Self::new([alpha, 0.0, -alpha], [1.0 + alpha, -2.0 * w.cos(), 1.0 - alpha])
    }

    /// Lets what is below `hz` pass.
    pub(super) fn low_pass(hz: f64) -> Self {
        let (w, alpha) = angle(hz, std::f64::consts::FRAC_1_SQRT_2);
        let b = 1.0 - w.cos();
        Self::new([b / 2.0, b, b / 2.0], [1.0 + alpha, -2.0 * w.cos(), 1.0 - alpha])
    }

    /// Raises what is above `hz` by `db`.
    pub(super) fn high_shelf(hz: f64, db: f64) -> Self {
        Self::shelf(hz, db, 1.0)
    }

    /// Raises what is below `hz` by `db`.
    pub(super) fn low_shelf(hz: f64, db: f64) -> Self {
        Self::shelf(hz, db, -1.0)
    }

    fn shelf(hz: f64, db: f64, side: f64) -> Self {
        let (w, alpha) = angle(hz, std::f64::consts::FRAC_1_SQRT_2);
        let (a, c) = (10f64.powf(db / 40.0), w.cos() * side);
        let root = 2.0 * a.sqrt() * alpha;
        Self::new(
            [
                a * (a + 1.0 + (a - 1.0) * c + root),
                -2.0 * a * (side * (a - 1.0) + side * (a + 1.0) * c),
                a * (a + 1.0 + (a - 1.0) * c - root),
            ],
            [
                a + 1.0 - (a - 1.0) * c + root,
                2.0 * (side * (a - 1.0) - side * (a + 1.0) * c),
                a + 1.0 - (a - 1.0) * c - root,
            ],
        )
    }

    fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        Self { taps: [b[0] / a[0], b[1] / a[0], b[2] / a[0], a[1] / a[0], a[2] / a[0]], state: [0.0; 2] }
    }

    /// The next sample.
    pub(super) fn step(&mut self, x: f32) -> f32 {
        let (x, [b0, b1, b2, a1, a2]) = (f64::from(x), self.taps);
        let y = b0 * x + self.state[0];
        self.state = [b1 * x - a1 * y + self.state[1], b2 * x - a2 * y];
        y as f32
    }

    /// All of `xs` through the filter.
    pub(super) fn run(mut self, xs: &[f32]) -> Vec<f32> {
        xs.iter().map(|&x| self.step(x)).collect()
    }
}

fn angle(hz: f64, q: f64) -> (f64, f64) {
    let w = std::f64::consts::TAU * hz / f64::from(MODEL_RATE);
    (w, w.sin() / (2.0 * q))
}

/// `xs` brought to this root mean square; unchanged where it is silent.
pub(super) fn with_rms(mut xs: Vec<f32>, wanted: f64) -> Vec<f32> {
    let own = rms(&xs);
    if own > 0.0 {
        let gain = (wanted / own) as f32;
        xs.iter_mut().for_each(|x| *x *= gain);
    }
    xs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_db(filter: &Biquad, hz: f64) -> f64 {
        let step = std::f64::consts::TAU * hz / f64::from(MODEL_RATE);
        let tone: Vec<f32> = (0..16_000).map(|i| (step * f64::from(i)).sin() as f32).collect();
        20.0 * (rms(&filter.clone().run(&tone)[8000..]) / rms(&tone[8000..])).log10()
    }

    #[test]
    fn filters_do_what_their_names_say() {
        for (hz, expected) in [(100.0, 0.0), (7000.0, 6.0)] {
            let found = gain_db(&Biquad::high_shelf(1000.0, 6.0), hz);
            assert!((found - expected).abs() < 0.3, "high shelf at {hz} Hz: {found} dB");
        }
        for (hz, expected) in [(50.0, -4.0), (6000.0, 0.0)] {
            let found = gain_db(&Biquad::low_shelf(800.0, -4.0), hz);
            assert!((found - expected).abs() < 0.3, "low shelf at {hz} Hz: {found} dB");
        }
        let band = Biquad::band_pass(2000.0, 5.0);
        assert!(gain_db(&band, 2000.0).abs() < 0.1 && gain_db(&band, 500.0) < -20.0);
        let low = Biquad::low_pass(500.0);
        assert!(gain_db(&low, 100.0).abs() < 0.2 && gain_db(&low, 4000.0) < -30.0);
    }

    #[test]
    fn levels_are_set() {
        let quiet = with_rms(vec![0.5, -0.5, 0.5, -0.5], 0.1);
        assert!((rms(&quiet) - 0.1).abs() < 1e-6);
        assert_eq!(with_rms(vec![0.0; 4], 0.1), vec![0.0; 4]);
    }
}
