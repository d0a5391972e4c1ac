//! A random number generator whose position in its sequence can be saved.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A ChaCha8 sequence.
#[derive(Debug, Clone)]
pub(super) struct CheckpointableRng {
    rng: ChaCha8Rng,
}

/// A position in a sequence: its seed, its stream and the number of words drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RngPosition {
    seed: [u8; 32],
    stream: u64,
    /// u128 as text: JSON numbers end at 2⁵³ in many readers.
    words: String,
}

impl CheckpointableRng {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng }
    }

    pub(super) fn position(&self) -> RngPosition {
        RngPosition {
            seed: self.rng.get_seed(),
            stream: self.rng.get_stream(),
            words: self.rng.get_word_pos().to_string(),
        }
    }

    pub(super) fn at(place: &RngPosition) -> Self {
        let mut rng = ChaCha8Rng::from_seed(place.seed);
        rng.set_stream(place.stream);
        rng.set_word_pos(place.words.parse().unwrap_or(0));
        Self { rng }
    }

    /// A number below `below`; 0 for 0.
    pub(super) fn below(&mut self, below: usize) -> usize {
        if below == 0 { 0 } else { self.rng.random_range(0..below) }
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random::<f64>() < probability
    }

    /// A number between `low` and `high`.
    pub(super) fn between(&mut self, (low, high): (f32, f32)) -> f32 {
        low + (high - low) * self.rng.random::<f32>()
    }

    /// An index, each as likely as its weight is large; `None` without weights above 0.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> Option<usize> {
        let total: f64 = weights.iter().sum();
        let mut left = self.rng.random::<f64>() * total;
        let last = weights.iter().rposition(|&w| w > 0.0)?;
        let found = weights.iter().position(|&w| {
            left -= w;
            left < 0.0
        });
        Some(found.unwrap_or(last))
    }

    pub(super) fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sequence_goes_on_where_it_was_left(seed: u64, stream in 0u64..9, before in 0usize..70) {
            let mut rng = CheckpointableRng::new(seed, stream);
            for i in 0..before {
                if i % 3 == 0 { rng.chance(0.5); } else { rng.below(1000); }
            }
            let text = serde_json::to_string(&rng.position()).unwrap();
            let mut again = CheckpointableRng::at(&serde_json::from_str(&text).unwrap());
            for _ in 0..20 {
                prop_assert_eq!(rng.below(1 << 40), again.below(1 << 40));
            }
        }

        #[test]
        fn items_of_weight_zero_are_never_drawn(seed: u64, pick in 0usize..5) {
            let mut weights = [0.0; 5];
            weights[pick] = 2.0;
            prop_assert_eq!(CheckpointableRng::new(seed, 0).weighted(&weights), Some(pick));
            prop_assert_eq!(CheckpointableRng::new(seed, 0).weighted(&[]), None);
        }
    }
}
