//! Second-order filters (RBJ audio EQ cookbook).

use crate::units::MODEL_RATE;

/// A filter with its coefficients; its memory is local to each call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
}

impl Biquad {
    /// A bell of `gain_db` at `hz`, `q` wide.
    pub(super) fn bell(hz: f32, q: f32, gain_db: f32) -> Self {
        let (sin, cos) = turn(hz);
        let (alpha, a) = (sin / (2.0 * q), 10f32.powf(gain_db / 40.0));
        Self::normalised(
            [1.0 + alpha * a, -2.0 * cos, 1.0 - alpha * a],
            [1.0 + alpha / a, -2.0 * cos, 1.0 - alpha / a],
        )
    }

    /// Everything but a band at `hz`, `q` narrow.
    pub(super) fn notch(hz: f32, q: f32) -> Self {
        let (sin, cos) = turn(hz);
        let alpha = sin / (2.0 * q);
        Self::normalised([1.0, -2.0 * cos, 1.0], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    fn normalised(b: [f32; 3], [a0, a1, a2]: [f32; 3]) -> Self {
        Self { b: b.map(|x| x / a0), a: [a1 / a0, a2 / a0] }
    }

    /// Filters in place, from silence.
    pub(super) fn run(&self, samples: &mut [f32]) {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let (mut s1, mut s2) = (0.0f32, 0.0f32);
        for x in samples {
            let y = b0 * *x + s1;
            s1 = b1 * *x - a1 * y + s2;
            s2 = b2 * *x - a2 * y;
            *x = y;
        }
    }
}

fn turn(hz: f32) -> (f32, f32) {
    (std::f32::consts::TAU * hz / MODEL_RATE as f32).sin_cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_db(filter: Biquad, hz: f32) -> f32 {
        let tone: Vec<f32> =
            (0..16_000).map(|i| (std::f32::consts::TAU * hz * i as f32 / 16_000.0).sin()).collect();
        let mut received = tone.clone();
        filter.run(&mut received);
        let power = |xs: &[f32]| xs.iter().skip(8000).map(|x| x * x).sum::<f32>();
        10.0 * (power(&received) / power(&tone)).log10()
    }

    #[test]
    fn a_bell_lifts_its_band_and_leaves_the_rest() {
        let bell = Biquad::bell(1000.0, 1.0, 6.0);
        assert!((gain_db(bell, 1000.0) - 6.0).abs() < 0.1);
        assert!(gain_db(bell, 60.0).abs() < 0.2 && gain_db(bell, 7000.0).abs() < 0.3);
    }

    #[test]
    fn a_notch_takes_its_band() {
        let notch = Biquad::notch(2000.0, 2.0);
        assert!(gain_db(notch, 2000.0) < -40.0);
        assert!(gain_db(notch, 200.0).abs() < 0.3);
    }
}
