//! Boundedness of contexts: hours of sound through the live path, hop by hop, with one passage repeated at the start,
//! on the way and at the end.
//!
//! A recurrent network that is trained on windows of seconds could drift when it runs for weeks. Its output on the same
//! sound would then change, so the same 10 s are repeated and |c_t| and max_i |c_t,i| over them are compared.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Cpc, CpcState};
use crate::units::{HOP, samples_to_seconds, seconds_to_samples};

/// Seconds of the passage that is measured, and of the warm-up before it each time.
pub const PASSAGE_S: f64 = 10.0;
/// Seconds between two repetitions of the passage.
pub const EVERY_S: f64 = 600.0;
/// Largest allowed change of a quantile, as a share of its first value.
pub const TOLERANCE: f64 = 0.1;

/// Quantiles over the frames of the passage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// A tenth of the frames lie below.
    pub p10: f64,
    /// The median.
    pub p50: f64,
    /// A tenth of the frames lie above.
    pub p90: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1) as f64;
        let at = |q: f64| values.get((q * last).round() as usize).copied().unwrap_or(f64::NAN);
        Self { p10: at(0.1), p50: at(0.5), p90: at(0.9), max: at(1.0) }
    }

    /// The four of them.
    #[must_use]
    pub fn all(&self) -> [f64; 4] {
        [self.p10, self.p50, self.p90, self.max]
    }

    /// The largest change against `before`, as a share of it.
    fn change(&self, before: &Self) -> f64 {
        self.all()
            .into_iter()
            .zip(before.all())
            .map(|(now, then)| ((now - then) / then).abs())
            .fold(0.0, worse)
    }
}

/// The larger change; NaN counts as the largest.
fn worse(a: f64, b: f64) -> f64 {
    if b <= a || a.is_nan() { a } else { b }
}

/// One repetition of the passage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SoakRow {
    /// When it began, seconds of sound.
    pub at_s: f64,
    /// Of the norm |c_t|.
    pub norm: Quantiles,
    /// Of the largest component, max_i |c_t,i|.
    pub peak: Quantiles,
}

/// The result of a soak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoakReport {
    /// Seconds of sound.
    pub seconds: f64,
    /// The repetitions, first and last included.
    pub rows: Vec<SoakRow>,
    /// Largest |c_t| of all frames, the passage or not.
    pub norm_max: f64,
    /// Largest |c_t,i| of all frames.
    pub peak_max: f64,
    /// Largest change of a quantile from the first hearing to the last, as a share of the first.
    pub change: f64,
    /// Whether every number was finite and no quantile changed by more than [`TOLERANCE`].
    pub bounded: bool,
}

/// Sound without an end: appends some samples at 16 kHz, at least one.
pub type Sound<'a> = dyn FnMut(&mut Vec<f32>) -> Result<()> + 'a;

/// Steps `seconds` of sound. The first 20 s of `sound` are the warm-up and the passage; both are repeated every
/// [`EVERY_S`] and at the very end. `report` is called with each repetition and, at least once a second of sound, with
/// the seconds so far; the run ends early when it returns false.
///
/// # Errors
/// When `seconds` is less than 40 or the sound fails.
pub fn soak(
    cpc: &Cpc,
    seconds: f64,
    sound: &mut Sound<'_>,
    report: &mut dyn FnMut(f64, Option<&SoakRow>) -> bool,
) -> Result<Option<SoakReport>> {
    let pair = 2.0 * PASSAGE_S;
    if !(seconds >= 2.0 * pair && seconds.is_finite()) {
        return Err(Error::config(
            format!("a soak of {seconds} s; the passage takes {pair} s at the start and again at the end"),
            format!("give {} s or more", 2.0 * pair),
        ));
    }
    let mut waiting = Vec::new();
    while waiting.len() < hops(pair) * HOP {
        sound(&mut waiting)?;
    }
    let passage: Vec<f32> = waiting.drain(..hops(pair) * HOP).collect();
    let (warm, measured) = passage.split_at(hops(PASSAGE_S) * HOP);
    let last = seconds - pair;
    let between = (1..).map(|i| f64::from(i) * EVERY_S).take_while(|at| at + pair <= last);
    let mut ear =
        SoakStream { cpc, state: cpc.zero_state(1)?, norm: Vec::new(), peak: Vec::new(), worst: (0.0, 0.0) };
    let (mut rows, mut received) = (Vec::new(), 0usize);
    for at in std::iter::once(0.0).chain(between).chain([last]) {
        while received < hops(at) {
            while waiting.len() < HOP {
                sound(&mut waiting)?;
            }
            let ready = (waiting.len() / HOP).min(hops(at) - received).min(hops(1.0));
            ear.step(waiting.get(..ready * HOP).unwrap_or_default())?;
            waiting.drain(..ready * HOP);
            received += ready;
            if !report(samples_to_seconds((received * HOP) as u64), None) {
                return Ok(None);
            }
        }
        ear.step(warm)?;
        ear.norm.clear();
        ear.peak.clear();
        ear.step(measured)?;
        received += hops(pair);
        let row = SoakRow {
            at_s: at + PASSAGE_S,
            norm: Quantiles::of(ear.norm.clone()),
            peak: Quantiles::of(ear.peak.clone()),
        };
        rows.push(row);
        if !report(samples_to_seconds((received * HOP) as u64), Some(&row)) {
            return Ok(None);
        }
    }
    let change = match (rows.first(), rows.last()) {
        (Some(first), Some(end)) => worse(end.norm.change(&first.norm), end.peak.change(&first.peak)),
        _ => f64::NAN,
    };
    let (norm_max, peak_max) = ear.worst;
    let bounded = change <= TOLERANCE && norm_max.is_finite();
    Ok(Some(SoakReport {
        seconds: samples_to_seconds((received * HOP) as u64),
        rows,
        norm_max,
        peak_max,
        change,
        bounded,
    }))
}

fn hops(seconds: f64) -> usize {
    seconds_to_samples(seconds) as usize / HOP
}

/// A stream on the live path.
struct SoakStream<'a> {
    cpc: &'a Cpc,
    state: CpcState,
    norm: Vec<f64>,
    peak: Vec<f64>,
    /// Largest norm and component so far; infinite once a number was not finite.
    worst: (f64, f64),
}

impl SoakStream<'_> {
    fn step(&mut self, samples: &[f32]) -> Result<()> {
        for hop in samples.chunks_exact(HOP) {
            let hop = Tensor::from_slice(hop, (1, HOP), self.cpc.device())?;
            let c = self.cpc.step(&hop, &mut self.state)?.contexts.flatten_all()?.to_vec1::<f32>()?;
            let finite = c.iter().all(|x| x.is_finite());
            let norm = c.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let peak = c.iter().fold(0.0, |peak, x| f64::from(x.abs()).max(peak));
            let (norm, peak) = if finite { (norm, peak) } else { (f64::INFINITY, f64::INFINITY) };
            self.norm.push(norm);
            self.peak.push(peak);
            self.worst = (self.worst.0.max(norm), self.worst.1.max(peak));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(scale: f64) -> Quantiles {
        Quantiles::of((0..=100).map(|i| scale * f64::from(i)).collect())
    }

    #[test]
    fn quantiles_of_a_ramp_and_their_change() {
        assert_eq!(quantiles(1.0).all(), [10.0, 50.0, 90.0, 100.0]);
        assert!((quantiles(1.05).change(&quantiles(1.0)) - 0.05).abs() < 1e-12);
        assert!((quantiles(0.8).change(&quantiles(1.0)) - 0.2).abs() < 1e-12);
        let lost = Quantiles { max: f64::NAN, ..quantiles(1.0) };
        assert!(lost.change(&quantiles(1.0)).is_nan());
    }
}
