//! Which windows a step sees.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::corpus::Recording;
use crate::model::WINDOW;
use crate::units::HOP;

/// Where one row of the batch is.
#[derive(Debug, Clone)]
struct Lane {
    recording: usize,
    position: usize,
    gain: f32,
}

/// Plays recordings in `lanes` parallel rows, window after window, so that contexts can be carried over; a row
/// that reaches the end of its recording goes on with another one, at a random place and gain.
#[derive(Debug)]
pub struct Sampler {
    recordings: Vec<Recording>,
    lanes: Vec<Lane>,
    gain_db: (f32, f32),
    rng: ChaCha8Rng,
}

impl Sampler {
    /// Lanes over `recordings`, of which those shorter than a window are never played.
    #[must_use]
    pub fn new(recordings: Vec<Recording>, lanes: usize, gain_db: (f32, f32), seed: u64) -> Self {
        let recordings: Vec<Recording> = recordings.into_iter().filter(|r| r.len() >= WINDOW).collect();
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sampler = Self { recordings, lanes: Vec::new(), gain_db, rng };
        for lane in 0..lanes {
            sampler.lanes.push(Lane { recording: usize::MAX, position: 0, gain: 1.0 });
            sampler.move_on(lane);
        }
        sampler
    }

    /// Recordings long enough to be played.
    #[must_use]
    pub fn recordings(&self) -> usize {
        self.recordings.len()
    }

    /// The next window of every lane, one after another in `out`.
    pub fn next_batch(&mut self, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.lanes.len() * WINDOW, 0.0);
        for (index, window) in out.chunks_exact_mut(WINDOW).enumerate() {
            for _ in 0..2 {
                let Some(lane) = self.lanes.get_mut(index) else { return };
                let recording = self.recordings.get(lane.recording);
                if recording.is_some_and(|r| r.copy_to(lane.position, lane.gain, window)) {
                    lane.position += WINDOW;
                    break;
                }
                self.move_on(index);
            }
        }
    }

    /// A number below `below`, from the sampler's own sequence.
    pub fn draw(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// Puts the lane on a recording that no other lane plays, if there is one: the windows of a batch are one
    /// another's negatives. Long recordings come up more often, by the square root of their length.
    fn move_on(&mut self, index: usize) {
        let weights: Vec<f64> = self.recordings.iter().map(|r| (r.len() as f64).sqrt()).collect();
        let total: f64 = weights.iter().sum();
        let mut choice = None;
        for _ in 0..8 {
            let mut left = self.rng.random_range(0.0..total.max(f64::MIN_POSITIVE));
            choice = weights.iter().position(|w| {
                left -= w;
                left < 0.0
            });
            let taken =
                |c: usize| self.lanes.iter().enumerate().any(|(i, lane)| i != index && lane.recording == c);
            if !choice.is_some_and(taken) {
                break;
            }
        }
        let Some(recording) = choice.and_then(|c| self.recordings.get(c)) else { return };
        let position = self.rng.random_range(0..=recording.len() - WINDOW) / HOP * HOP;
        let (low, high) = self.gain_db;
        let gain = 10f32.powf(self.rng.random_range(low..=high) / 20.0);
        if let (Some(lane), Some(recording)) = (self.lanes.get_mut(index), choice) {
            *lane = Lane { recording, position, gain };
        }
    }
}
