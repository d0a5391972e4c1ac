//! Comparison of two ways to step a model.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cpc, LiveBatch, Stepping};
use crate::error::{Error, Result};
use crate::units::HOP;

/// Streams and hops that are compared.
const COMPARED: (usize, usize) = (3, 60);

/// Largest difference of a PMI in nats between `cpc`, stepped as `stepping` says, and the layers of `reference`, the same
/// model on the CPU in f32, over noise on a few streams that join one after another. Infinite where one of them has a
/// score and the other none.
///
/// # Errors
/// When a device fails.
pub fn max_pmi_difference(cpc: &Arc<Cpc>, stepping: Stepping, reference: &Arc<Cpc>) -> Result<f64> {
    let (streams, hops) = COMPARED;
    let mut tried = LiveBatch::with(Arc::clone(cpc), stepping)?;
    let mut layers = LiveBatch::with(Arc::clone(reference), Stepping::Layers)?;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (mut slots, mut largest) = (Vec::new(), 0f64);
    for hop in 0..hops {
        if hop % 10 == 0 && slots.len() < streams {
            let slot = tried.join(0)?;
            if slot != layers.join(0)? {
                return Err(Error::internal("two batches number their slots differently"));
            }
            slots.push(slot as u32);
        }
        let sound: Vec<f32> = (0..slots.len() * HOP).map(|_| rng.random_range(-0.1..0.1)).collect();
        let found = tried.step_rows(&slots, &sound)?;
        for (found, expected) in found.pmi.iter().zip(&layers.step_rows(&slots, &sound)?.pmi) {
            match (found.is_nan(), expected.is_nan()) {
                (true, true) => {}
                (false, false) => largest = largest.max(f64::from((found - expected).abs())),
                _ => return Ok(f64::INFINITY),
            }
        }
    }
    Ok(largest)
}
