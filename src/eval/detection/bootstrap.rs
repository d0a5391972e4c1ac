//! Intervals by resampling.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::outcome::{Outcome, Segment};
use super::summary::Areas;
use crate::eval::roc::Roc;

/// Normal segments within so many seconds go together: neighbours are alike.
const BLOCK_S: f64 = 10.0;

/// Draws streams with replacement and, within each, sounds and stretches of normal sound. The same number gives the same
/// draw for every detector, so that differences between detectors are paired.
#[derive(Debug, Clone, Copy)]
pub struct Resampler {
    /// Draws.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Resampler {
    /// The macro mean of areas over streams for the sounds that `wanted` picks, of each draw.
    pub fn areas(&self, outcomes: &[Outcome], wanted: impl Fn(f32) -> bool + Copy) -> Vec<Areas> {
        let parted: Vec<Parted> = outcomes.iter().map(|o| Parted::of(o, wanted)).collect();
        (0..self.draws)
            .map(|draw| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ (draw as u64) << 20);
                let drawn: Vec<Areas> = (0..parted.len())
                    .filter_map(|_| {
                        let one = parted.get(rng.random_range(0..parted.len()))?;
                        let (strange, normal) =
                            (draw_from(&one.events, &mut rng), draw_from(&one.blocks, &mut rng));
                        Roc::of(&strange, &normal)
                            .map(|roc| Areas { auc: roc.auc(), pauc: roc.partial_auc() })
                    })
                    .collect();
                Areas::mean(&drawn)
            })
            .collect()
    }
}

/// Scores by sound, and by stretch of normal sound.
struct Parted {
    events: Vec<Vec<f64>>,
    blocks: Vec<Vec<f64>>,
}

impl Parted {
    fn of(outcome: &Outcome, wanted: impl Fn(f32) -> bool) -> Self {
        let count = outcome.ratios_db.len();
        let of_event = |e: usize| {
            let scores = outcome.segments.iter().filter(|s| s.event == Some(e)).map(|s| s.score);
            scores.collect::<Vec<_>>()
        };
        let picked = (0..count).filter(|&e| outcome.ratios_db.get(e).is_some_and(|&r| wanted(r)));
        let normal: Vec<&Segment> = outcome.segments.iter().filter(|s| s.event.is_none()).collect();
        let block = |s: &Segment| (s.at_s / BLOCK_S) as u64;
        let blocks = normal.chunk_by(|a, b| block(a) == block(b));
        Self {
            events: picked.map(of_event).filter(|scores| !scores.is_empty()).collect(),
            blocks: blocks.map(|b| b.iter().map(|s| s.score).collect()).collect(),
        }
    }
}

fn draw_from(groups: &[Vec<f64>], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut out = Vec::new();
    for _ in 0..groups.len() {
        if let Some(group) = groups.get(rng.random_range(0..groups.len())) {
            out.extend_from_slice(group);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_case_has_a_narrow_interval_and_draws_repeat() {
        let segment = |i: usize| Segment {
            at_s: i as f64 * 0.5,
            score: if i.is_multiple_of(40) { 5.0 } else { (i % 7) as f64 },
            event: i.is_multiple_of(40).then_some(i / 40),
        };
        let outcome = Outcome {
            stream: "s".into(),
            background: "b".into(),
            segments: (0..400).map(segment).collect(),
            ratios_db: vec![0.0; 10],
            verdicts: vec![],
        };
        let resampler = Resampler { draws: 50, seed: 1 };
        let outcomes = [outcome.clone(), outcome];
        let (a, b) = (resampler.areas(&outcomes, |_| true), resampler.areas(&outcomes, |_| true));
        assert_eq!(a, b);
        let roc = Roc::of(&[5.0], &(0..7).map(f64::from).collect::<Vec<_>>()).unwrap().auc();
        assert!(a.iter().all(|x| (x.auc - roc).abs() < 0.05), "{a:?} {roc}");
    }
}
