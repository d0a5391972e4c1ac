//! Whether what is slow about a stream has moved: its score, its novelty, its level.

use serde::{Deserialize, Serialize};

use super::adwin::Adwin;
use super::surprise::median;
use crate::detect::exact::exact;
use crate::units::FRAME_RATE;

/// Frames of a median: 10 s.
const FRAMES: usize = 10 * FRAME_RATE as usize;
/// Medians from which the scale is taken: 10 min.
const FIRST: usize = 60;
/// Standard deviations in a median absolute deviation of normal numbers.
const SIGMA: f64 = 1.4826;

/// Medians of 10 s of one quantity, in units of their own scatter in the first 10 min, over an adaptive window.
///
/// [`Adwin`] presumes values that scatter by about 1. The median is there because an event is no drift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    /// Least scatter that is believed.
    floor: f64,
    /// Medians of the first 10 min, until there are all.
    first: Vec<f64>,
    /// Their median and scatter.
    scale: Option<(f64, f64)>,
    window: Adwin,
    #[serde(skip)]
    frames: Vec<f64>,
}

exact!(Slow { floor, first, scale, window, frames });

impl Slow {
    fn new(floor: f64) -> Self {
        Self { floor, first: Vec::new(), scale: None, window: Adwin::default(), frames: Vec::new() }
    }

    /// The next frame's value; true if the window was cut.
    fn push(&mut self, x: f64) -> bool {
        self.frames.push(x);
        if self.frames.len() < FRAMES {
            return false;
        }
        let x = median(&mut self.frames);
        self.frames.clear();
        if let Some((middle, scatter)) = self.scale {
            return self.window.push((x - middle) / scatter);
        }
        self.first.push(x);
        if self.first.len() < FIRST {
            return false;
        }
        let mut sorted = self.first.clone();
        let middle = median(&mut sorted);
        sorted.iter_mut().for_each(|x| *x = (*x - middle).abs());
        let scatter = (SIGMA * median(&mut sorted)).max(self.floor);
        self.scale = Some((middle, scatter));
        for x in std::mem::take(&mut self.first) {
            self.window.push((x - middle) / scatter);
        }
        false
    }

    fn is_whole(&self) -> bool {
        self.floor > 0.0
            && self.first.len() < FIRST
            && self.scale.is_none_or(|(middle, scatter)| middle.is_finite() && scatter >= self.floor)
            && self.window.is_whole()
    }
}

/// Score, novelty and level of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drift {
    score: Slow,
    novelty: Slow,
    level: Slow,
}

exact!(Drift { score, novelty, level });

impl Default for Drift {
    fn default() -> Self {
        // 0.02 of −log10 p, 0.01 of novelty, 0.1 dB: less is no change that matters
        Self { score: Slow::new(0.02), novelty: Slow::new(0.01), level: Slow::new(0.1) }
    }
}

impl Drift {
    /// The next frame: −log10 p under the calibration, novelty, dB full scale. True if one of them has moved.
    pub(crate) fn push(&mut self, score: f64, novelty: f64, level: f64) -> bool {
        let moved = [self.score.push(score), self.novelty.push(novelty), self.level.push(level)];
        moved.contains(&true)
    }

    /// What is worth keeping: all but the frames of an unfinished median.
    pub(crate) fn snapshot(&self) -> Self {
        let mut kept = self.clone();
        [&mut kept.score, &mut kept.novelty, &mut kept.level]
            .into_iter()
            .for_each(|slow| slow.frames.clear());
        kept
    }

    /// Whether this could have come about by the functions above.
    pub(crate) fn is_whole(&self) -> bool {
        [&self.score, &self.novelty, &self.level].into_iter().all(Slow::is_whole)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_step_of_the_level_is_a_drift_and_noise_is_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drift = Drift::default();
        let mut minutes = |drift: &mut Drift, minutes: usize, level: f64| -> usize {
            let frames = minutes * 60 * FRAME_RATE as usize;
            (0..frames)
                .filter(|i| {
                    // the level of a room wanders a little from one 10 s to the next
                    let wander = f64::from((*i / FRAMES) as u32 * 7919 % 101) / 101.0;
                    let x = rng.random::<f64>();
                    drift.push(x, 1.0 + x, level + wander + 5.0 * x)
                })
                .count()
        };
        assert_eq!(minutes(&mut drift, 60, -40.0), 0);
        let kept: Drift = serde_json::from_str(&serde_json::to_string(&drift.snapshot()).unwrap()).unwrap();
        assert_eq!(kept, drift.snapshot());
        assert!(kept.is_whole());
        assert!(minutes(&mut drift, 30, -37.0) >= 1);
        assert!(drift.is_whole());
    }
}
