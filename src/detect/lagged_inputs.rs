//! What the next frames are predicted from.

use super::linear_predictor::LinearPredictor;
use super::row_layout::{LAG, ROW};
use crate::detect::exact::exact;
use crate::units::BANDS;

/// Inputs that are remembered.
const HELD: usize = LAG + ROW;

/// The inputs of the predictions of a stream, which reach over [`LAG`] frames: as many as the frames of a row need. Their predictions are
/// made together once the row is due, so that the weights are read once for it.
#[derive(Debug, Clone)]
pub(super) struct LaggedInputs {
    /// `[8, width]`, a ring.
    inputs: Vec<f32>,
    frames: usize,
}

exact!(LaggedInputs { inputs, frames });

impl LaggedInputs {
    /// Of a stream that begins.
    pub(super) fn new() -> Self {
        Self { inputs: Vec::new(), frames: 0 }
    }

    /// Takes the input of the next frame, `[width]`. Allocates for the first alone.
    pub(super) fn push(&mut self, input: &[f32]) {
        if self.inputs.is_empty() {
            self.inputs.resize(HELD * input.len(), 0.0);
        }
        let place = self.inputs.chunks_exact_mut(input.len().max(1)).nth(self.frames % HELD);
        place.into_iter().for_each(|place| place.copy_from_slice(input));
        self.frames += 1;
    }

    /// Subtracts from the `bands` of the last frames, at most a row of them, what `predictor` says of each; what begins a stream has no
    /// prediction and becomes 0.
    pub(super) fn subtract_predictions(&self, predictor: &LinearPredictor, bands: &mut [[f32; BANDS]]) {
        let width = self.inputs.len() / HELD;
        let oldest = self.frames.saturating_sub(bands.len());
        let (unpredicted, bands) = bands.split_at_mut(LAG.saturating_sub(oldest).min(bands.len()));
        unpredicted.fill([0.0; BANDS]);
        let inputs: [&[f32]; ROW] = std::array::from_fn(|at| {
            let from = (oldest + unpredicted.len() + at + HELD - LAG) % HELD * width;
            self.inputs.get(from..from + width).unwrap_or_default()
        });
        predictor.subtract(inputs.get(..bands.len()).unwrap_or_default(), bands);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    proptest! {
        /// However many frames are predicted together, each prediction is the same to the bit.
        #[test]
        fn predictions_do_not_depend_on_how_many_are_made_together(cuts in proptest::collection::vec(1..=ROW, 1..12)) {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut numbers = |count| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let frames: usize = cuts.iter().sum();
            let (inputs, targets) = (numbers(7 * frames), numbers(BANDS * frames));
            let (inputs, targets) = (inputs.as_chunks::<7>().0, targets.as_chunks::<BANDS>().0);
            let fitted = |take: &mut dyn FnMut(&[f32], &[f32])| {
                inputs.iter().zip(targets).for_each(|(input, target)| take(input, target));
            };
            let predictor = LinearPredictor::fit(&fitted, 7).unwrap();
            let made = |cuts: &[usize]| {
                let (mut lagged, mut all, mut at) = (LaggedInputs::new(), Vec::new(), 0);
                for &count in cuts {
                    inputs[at..at + count].iter().for_each(|input| lagged.push(input));
                    let mut bands = targets[at..at + count].to_vec();
                    lagged.subtract_predictions(&predictor, &mut bands);
                    all.extend(bands);
                    at += count;
                }
                all
            };
            let one_by_one = made(&vec![1; frames]);
            prop_assert_eq!(made(&cuts), one_by_one.clone());
            for (frame, found) in one_by_one.iter().enumerate() {
                let mut expected = [targets[frame]];
                match frame.checked_sub(LAG) {
                    Some(before) => predictor.subtract(&[&inputs[before]], &mut expected),
                    None => expected = [[0.0; BANDS]],
                }
                prop_assert_eq!(*found, expected[0]);
            }
        }
    }
}
