//! The choice of a precision by a measurement.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::kernels::{CpuStepper, Hops, Plan, Precision, Stepper};
use crate::units::HOP;

/// Difference of a score from that in f32, in nats, below which a precision is near enough.
const NEAR: f32 = 0.02;

/// Streams and hops that are compared and timed.
const MEASURED: (usize, usize) = (8, 30);

/// Share of the time of a more exact precision that a less exact one may take at most, so that the noise of clocks does
/// not decide.
const CLEARLY_FASTER: f64 = 0.95;

/// Scores of noise, quiet and loud, and the duration of the fastest hop.
#[derive(Debug)]
struct Trial {
    precision: Precision,
    instructions: String,
    pmi: Vec<f32>,
    hop: Duration,
}

impl Trial {
    fn run(plan: &Plan, precision: Precision) -> Result<Self> {
        let (streams, count) = MEASURED;
        let mut stepper = CpuStepper::new(plan, precision, 1)?;
        stepper.reserve(streams)?;
        let rows: Vec<u32> = (0..streams as u32).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut hops, mut pmi, mut fastest) = (Hops::default(), Vec::new(), Duration::MAX);
        for hop in 0..count {
            let loud = if hop % 10 < 5 { 0.01 } else { 0.3 };
            let sound: Vec<f32> = (0..streams * HOP).map(|_| rng.random_range(-loud..loud)).collect();
            let begin = Instant::now();
            stepper.step(&rows, &sound, &mut hops)?;
            fastest = fastest.min(begin.elapsed());
            pmi.extend_from_slice(&hops.pmi);
        }
        Ok(Self { precision, instructions: stepper.instructions(), pmi, hop: fastest })
    }

    /// Largest difference of a score; infinite where one of the two is no number.
    fn difference(&self, other: &Self) -> f32 {
        let pairs = self.pmi.iter().zip(&other.pmi).filter(|(a, b)| !(a.is_nan() && b.is_nan()));
        pairs
            .map(|(a, b)| if a.is_nan() || b.is_nan() { f32::INFINITY } else { (a - b).abs() })
            .fold(0.0, f32::max)
    }
}

/// The fastest precision of this processor whose scores of noise differ by less than [`NEAR`] from those in f32; the most
/// exact of those that are about as fast. It is logged.
///
/// # Errors
/// When parts of the plan do not fit together.
pub(super) fn fastest_near_precision(plan: &Plan) -> Result<Precision> {
    let exact = Trial::run(plan, Precision::F32)?;
    let (mut best, mut off) = (None::<Trial>, 0.0);
    for precision in Precision::OF_PROCESSORS.into_iter().filter(|precision| *precision != Precision::F32) {
        let trial = Trial::run(plan, precision)?;
        let (difference, to_beat) = (trial.difference(&exact), best.as_ref().unwrap_or(&exact).hop);
        if difference < NEAR && trial.hop.as_secs_f64() < CLEARLY_FASTER * to_beat.as_secs_f64() {
            (best, off) = (Some(trial), difference);
        }
    }
    let (chosen, streams) = (best.as_ref().unwrap_or(&exact), MEASURED.0);
    tracing::info!(
        "precision auto: {} on {}, {} us a hop of {streams} streams ({} us in f32), scores within {off:.4} nats",
        chosen.precision,
        chosen.instructions,
        chosen.hop.as_micros(),
        exact.hop.as_micros(),
    );
    Ok(chosen.precision)
}
