//! What the score has been of late.

use super::Combination;
use crate::detect::exact::exact;
use crate::detect::row_layout::ROW;
use crate::detect::seconds::maxima;
use crate::detect::surprise::median;
use crate::units::FRAME_RATE;

/// Rows of a second.
const ROWS: usize = 20;
/// Seconds that are remembered.
const SECONDS: usize = 20;
/// Quantile of a second that counts: short sounds do not reach it.
const QUANTILE: usize = ROWS * 3 / 10;

/// At most this is taken off: what is farther from normal is no drift.
const MOST: f64 = 1.0;

/// The level of the score over the last 20 s: the median over seconds of their 30 % quantile.
///
/// A site drifts: rain grows, a train comes nearer, and every score is higher from then on, which is no sign of a foreign sound.
/// What goes on for longer than that and is farther from normal stays improbable.
#[derive(Debug, Clone)]
pub(in crate::detect) struct Baseline {
    rows: [f64; ROWS],
    row: usize,
    seconds: [f64; SECONDS],
    count: usize,
    level: Option<f64>,
}

exact!(Baseline { rows, row, seconds, count, level });

impl Baseline {
    /// Of a stream that begins.
    pub(in crate::detect) fn new() -> Self {
        Self { rows: [0.0; ROWS], row: 0, seconds: [0.0; SECONDS], count: 0, level: None }
    }

    /// The score of the next row, less what the last 20 s lie above the `usual` level.
    pub(in crate::detect) fn push(&mut self, score: f64, usual: f64) -> f64 {
        let above = self.level.map_or(0.0, |level| (level - usual).clamp(0.0, MOST));
        if let Some(place) = self.rows.get_mut(self.row) {
            *place = score;
        }
        self.row += 1;
        if self.row == ROWS {
            self.row = 0;
            self.rows.sort_unstable_by(f64::total_cmp);
            self.seconds[self.count % SECONDS] = self.rows[QUANTILE];
            self.count += 1;
            let held = self.count.min(SECONDS);
            let mut sorted = self.seconds;
            let sorted = &mut sorted[..held];
            sorted.sort_unstable_by(f64::total_cmp);
            self.level = Some(sorted[held / 2]);
        }
        score - above
    }

    /// The level, once a second was received.
    pub(in crate::detect) fn level(&self) -> Option<f64> {
        self.level
    }
}

/// The maxima of each second of scores (frame and score of each row), relative to what they were of late; notes the usual level.
pub(in crate::detect) fn relative(
    scores: &[(usize, f64)],
    combination: &mut Combination,
) -> (Baseline, Vec<f64>) {
    let broken = |at: usize| at > 0 && scores[at].0 - scores[at - 1].0 != ROW;
    let mut levels = Vec::new();
    let pass = |usual: f64, levels: &mut Vec<f64>| {
        let mut baseline = Baseline::new();
        let relative = scores.iter().enumerate().map(|(at, &(frame, score))| {
            if broken(at) {
                baseline = Baseline::new();
            }
            let relative = baseline.push(score, usual);
            levels.extend(baseline.level());
            (frame / FRAME_RATE as usize, relative)
        });
        let maxima = maxima(relative.collect::<Vec<_>>().into_iter());
        (baseline, maxima)
    };
    pass(0.0, &mut levels);
    combination.set_usual_level(median(&mut levels));
    pass(combination.usual_level(), &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_taken_off_and_a_sound_is_not() {
        let mut baseline = Baseline::new();
        let push = |score: f64, rows: usize, baseline: &mut Baseline| {
            (0..rows).map(|_| baseline.push(score, 0.5)).last().unwrap_or_default()
        };
        assert_eq!(push(0.5, 400, &mut baseline), 0.5);
        assert_eq!(push(4.0, 60, &mut baseline), 4.0, "3 s of something");
        assert_eq!(push(0.5, 400, &mut baseline), 0.5);
        assert_eq!(push(1.2, 400, &mut baseline), 0.5, "20 s of a higher score");
        assert!((push(3.0, 1, &mut baseline) - 2.3).abs() < 1e-9);
        assert_eq!(push(9.0, 800, &mut baseline), 8.0, "no drift");
        assert_eq!(push(0.1, 800, &mut baseline), 0.1, "never raised");
    }
}
