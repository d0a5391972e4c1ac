//! The false-alarm budget over hours of sound without events.
//!
//! [`joined`] lets the gain step and the site change, [`recordings`] plays uninterrupted recordings and changes nothing.

pub mod joined;
pub mod recordings;

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::detect::{DetectConfig, Detector, DetectorModel, Input};
use crate::error::Result;
use crate::event::{Evidence, Finding, Phase, Tier};
use crate::model::{Cpc, Manifest, OfflineStepper};
use crate::units::{FRAME_RATE, HOP, MODEL_RATE};

/// Hops of a step of the model.
const PIECE: usize = 500;
/// Gains of stretches of a minute, dB around the stream's own.
const DRIFT_DB: f32 = 1.0;

/// Alarms within one phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Count {
    /// Alarms.
    pub alarms: usize,
    /// Hours.
    pub hours: f64,
}

impl Count {
    /// Alarms an hour.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.alarms as f64 / self.hours.max(1e-9)
    }

    /// 95 % interval of the rate if alarms come independently (Poisson, exact).
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        let at_most = |n: usize, mean: f64| {
            let mut term = (-mean).exp();
            let mut sum = term;
            for k in 1..=n {
                term *= mean / k as f64;
                sum += term;
            }
            sum
        };
        let solve = |wanted: f64, n: usize| {
            let (mut low, mut high) = (0.0, 10.0 + 4.0 * n as f64);
            for _ in 0..60 {
                let middle = f64::midpoint(low, high);
                if at_most(n, middle) > wanted {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            low
        };
        let low = if self.alarms == 0 { 0.0 } else { solve(0.975, self.alarms - 1) };
        (low / self.hours.max(1e-9), solve(0.025, self.alarms) / self.hours.max(1e-9))
    }
}

/// An alarm, wherever it came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarm {
    /// The background that the stream began with.
    pub background: String,
    /// When it was reported, seconds from the start of the stream.
    pub at_s: f64,
    /// Its smallest tail probability until then.
    pub p: f64,
    /// Its tier.
    pub tier: Tier,
    /// The term that raised it.
    pub evidence: Evidence,
    /// The most deviant band, Hz.
    pub band_hz: Option<[f32; 2]>,
}

/// A detector's calibration length in seconds and its budget in alarms an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BudgetSetting {
    budget: f64,
    calibrate_s: f64,
}

/// Runs detectors of these settings over `samples`. `found` is called with the number of a setting, each alarm and its
/// time in seconds, `passed` with the number and the time of each frame.
fn run(
    (manifest, cpc): (&Manifest, &Arc<Cpc>),
    samples: &[f32],
    settings: &[BudgetSetting],
    found: &mut dyn FnMut(usize, &Finding),
    passed: &mut dyn FnMut(usize, f64),
    progress: &mut dyn FnMut(f64),
) -> Result<()> {
    let detector_model = DetectorModel::new(manifest.frame_shape(), manifest.sha256.clone(), cpc.critic())?;
    let detector = |setting: &BudgetSetting| {
        let config = DetectConfig {
            events_per_hour: setting.budget,
            calibrate_seconds: setting.calibrate_s,
            provisional_seconds: 0.0,
            ..DetectConfig::default()
        };
        Detector::new(&config, detector_model.clone())
    };
    let mut detectors = settings.iter().map(detector).collect::<Result<Vec<_>>>()?;
    let mut passage = OfflineStepper::new(Arc::clone(cpc))?;
    let (mut frames, mut out) = (Vec::new(), Vec::new());
    for (piece, sound) in samples.chunks(PIECE * HOP).enumerate() {
        progress((piece * PIECE * HOP) as f64 / samples.len() as f64);
        frames.clear();
        passage.step(sound.get(..sound.len() / HOP * HOP).unwrap_or_default(), &mut frames)?;
        for (number, detector) in detectors.iter_mut().enumerate() {
            for frame in &frames {
                detector.push(frame, Input::GOOD, &mut out);
            }
            out.drain(..).filter(|f| f.phase == Phase::New).for_each(|f| found(number, &f));
            for frame in &frames {
                passed(number, (frame.index + 1) as f64 / f64::from(FRAME_RATE));
            }
        }
    }
    Ok(())
}

impl Alarm {
    fn of(finding: &Finding, background: &str) -> Self {
        Self {
            background: background.to_owned(),
            at_s: finding.emitted_s,
            p: finding.p,
            tier: finding.tier,
            evidence: finding.evidence,
            band_hz: finding.band_hz,
        }
    }
}

/// Lets the gain wander by up to [`DRIFT_DB`] around `gain_db` of each sample.
fn drift(rng: &mut ChaCha8Rng, samples: &mut [f32], gain_db: impl Fn(usize) -> f32) {
    let minute = 60 * MODEL_RATE as usize;
    let mut before = 0f32;
    for (i, part) in samples.chunks_mut(minute).enumerate() {
        let next = rng.random_range(-DRIFT_DB..DRIFT_DB);
        let n = part.len() as f32;
        for (k, x) in part.iter_mut().enumerate() {
            let db = before + (next - before) * k as f32 / n + gain_db(i * minute);
            *x = (*x * 10f32.powf(db / 20.0)).clamp(-1.0, 1.0);
        }
        before = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_exact_intervals() {
        let count = Count { alarms: 10, hours: 5.0 };
        assert!((count.rate() - 2.0).abs() < 1e-12);
        // chi-square quantiles: 4.795 and 18.39 for 10 events
        let (low, high) = count.interval();
        assert!((low * 5.0 - 4.795).abs() < 0.01 && (high * 5.0 - 18.39).abs() < 0.01, "{low} {high}");
        assert_eq!(Count { alarms: 0, hours: 1.0 }.interval().0, 0.0);
        assert!((Count { alarms: 0, hours: 1.0 }.interval().1 - 3.689).abs() < 0.01);
    }
}
