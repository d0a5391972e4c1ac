//! Whether the budget holds: false alarms on hours of sound without events.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::corpus::rare::{Material, join};
use crate::detect::{DetectConfig, Detector, Input, Instrument};
use crate::error::{Error, Result};
use crate::event::{Evidence, Phase, Tier};
use crate::model::{Cpc, Manifest, Passage};
use crate::units::{FRAME_RATE, HOP, MODEL_RATE};

/// Hops that the model hears at once.
const PIECE: usize = 500;
/// Gains of stretches of a minute, dB around the stream's own.
const DRIFT_DB: f32 = 1.0;
/// The step of the gain, dB.
const STEP_DB: f32 = 3.0;
/// Beside the calibration, seconds that a change of the place takes to be noticed and to be over.
const RECOVERY_S: f64 = 180.0;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Hours of each stream: half of it steady, a quarter after a gain step, a quarter in another place.
    pub hours: f64,
    /// Most backgrounds that are used.
    pub backgrounds: usize,
    /// Budgets, events an hour.
    pub budgets: Vec<f64>,
    /// Lengths of calibration in minutes.
    pub minutes: Vec<f64>,
    /// Seed of the streams.
    pub seed: u64,
}

/// Alarms of one kind of time.
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
    /// When it was told, seconds from the start of the stream.
    pub at_s: f64,
    /// Its smallest tail probability until then.
    pub p: f64,
    /// Its tier.
    pub tier: Tier,
    /// What gave it.
    pub evidence: Evidence,
    /// The band that stood out, Hz.
    pub band_hz: Option<[f32; 2]>,
}

/// One budget after one length of calibration, over all streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Events an hour.
    pub budget: f64,
    /// Minutes of calibration.
    pub minutes: f64,
    /// While nothing changes.
    pub steady: Count,
    /// After a step of the gain of 3 dB, up or down.
    pub stepped: Count,
    /// In another place, once that was learnt.
    pub moved: Count,
    /// All alarms, also those while something was learnt.
    pub alarms: Vec<Alarm>,
}

/// Runs the detector over streams of `material`, all budgets and lengths at once. `progress` is called with streams and
/// share done.
///
/// # Errors
/// When the model fails or a stream is too short for a calibration.
pub fn measure(
    (manifest, cpc): (&Manifest, &Arc<Cpc>),
    material: &Material,
    plan: &Plan,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Vec<Row>> {
    let longest = plan.minutes.iter().copied().fold(0.0, f64::max) * 60.0;
    if plan.hours * 900.0 < longest + RECOVERY_S + 60.0 {
        return Err(Error::config(
            format!("a quarter of {} h is too short to learn a place from {longest} s", plan.hours),
            "give longer streams (`--hours`) or a shorter calibration",
        ));
    }
    let mut rows: Vec<Row> = Vec::new();
    for &minutes in &plan.minutes {
        let row = |budget: f64| Row {
            budget,
            minutes,
            steady: Count::default(),
            stepped: Count::default(),
            moved: Count::default(),
            alarms: Vec::new(),
        };
        rows.extend(plan.budgets.iter().map(|&budget| row(budget)));
    }
    let instrument = Instrument::new(manifest.frame_shape(), manifest.sha256.clone(), cpc.critic())?;
    let places = material.backgrounds.len().min(plan.backgrounds);
    for number in 0..places {
        let samples = stream(material, number, plan);
        let detectors = rows.iter().map(|row| {
            let config = DetectConfig {
                events_per_hour: row.budget,
                calibrate_seconds: row.minutes * 60.0,
                ..DetectConfig::default()
            };
            Detector::new(&config, instrument.clone())
        });
        let mut detectors = detectors.collect::<Result<Vec<_>>>()?;
        let mut passage = Passage::new(Arc::clone(cpc))?;
        let (mut frames, mut out) = (Vec::new(), Vec::new());
        let seconds = samples.len() as f64 / f64::from(MODEL_RATE);
        let name = material.backgrounds.get(number).map_or("", |b| b.name.as_str());
        for (piece, sound) in samples.chunks(PIECE * HOP).enumerate() {
            progress(name, number * 1000 + piece * PIECE * HOP * 1000 / samples.len(), places * 1000);
            frames.clear();
            passage.step(sound.get(..sound.len() / HOP * HOP).unwrap_or_default(), &mut frames)?;
            for (row, detector) in rows.iter_mut().zip(&mut detectors) {
                for frame in &frames {
                    detector.push(frame, Input::GOOD, &mut out);
                }
                for finding in out.drain(..).filter(|f| f.phase == Phase::New) {
                    row.alarms.push(Alarm {
                        background: name.to_owned(),
                        at_s: finding.emitted_s,
                        p: finding.p,
                        tier: finding.tier,
                        evidence: finding.evidence,
                        band_hz: finding.band_hz,
                    });
                    if let Some(count) = time_of(row, finding.emitted_s, seconds) {
                        count.alarms += 1;
                    }
                }
                for frame in &frames {
                    let at = (frame.index + 1) as f64 / f64::from(FRAME_RATE);
                    if let Some(count) = time_of(row, at, seconds) {
                        count.hours += 1.0 / f64::from(FRAME_RATE) / 3600.0;
                    }
                }
            }
        }
    }
    Ok(rows)
}

/// What kind of time it is; none while something is learnt.
fn time_of(row: &mut Row, at_s: f64, seconds: f64) -> Option<&mut Count> {
    let learnt = row.minutes * 60.0 + 5.0;
    let (step, change) = (0.5 * seconds, 0.75 * seconds);
    if at_s < learnt {
        None
    } else if at_s < step {
        Some(&mut row.steady)
    } else if at_s < change {
        Some(&mut row.stepped)
    } else if at_s >= change + learnt + RECOVERY_S {
        Some(&mut row.moved)
    } else {
        None
    }
}

/// Three quarters in one place with a gain step in the middle, the last quarter in the next one.
fn stream(material: &Material, number: usize, plan: &Plan) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ (number as u64) << 32);
    let length = (plan.hours * 3600.0 * f64::from(MODEL_RATE)) as usize / HOP * HOP;
    let change = length / 4 * 3;
    let place = |i: usize| material.backgrounds.get(i % material.backgrounds.len().max(1));
    let mut samples = Vec::with_capacity(length);
    for (background, length) in [(place(number), change), (place(number + 1), length - change)] {
        if let Some(background) = background {
            samples.extend(join(&mut rng, &background.clips, length).0);
        }
    }
    let step = if rng.random::<bool>() { STEP_DB } else { -STEP_DB };
    let minute = 60 * MODEL_RATE as usize;
    let mut before = 0f32;
    for (i, part) in samples.chunks_mut(minute).enumerate() {
        let stepped = if i * minute >= length / 2 { step } else { 0.0 };
        let next = rng.random_range(-DRIFT_DB..DRIFT_DB);
        let n = part.len() as f32;
        for (k, x) in part.iter_mut().enumerate() {
            let db = before + (next - before) * k as f32 / n + stepped;
            *x = (*x * 10f32.powf(db / 20.0)).clamp(-1.0, 1.0);
        }
        before = next;
    }
    samples
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

    #[test]
    fn a_stream_steps_and_moves() {
        let material = Material::synthetic(1);
        let plan = Plan { hours: 0.1, backgrounds: 1, budgets: vec![1.0], minutes: vec![1.0], seed: 1 };
        let samples = stream(&material, 0, &plan);
        assert_eq!(samples.len(), 360 * 16_000);
        let level = |from: usize, to: usize| crate::units::level_dbfs(&samples[from * 16_000..to * 16_000]);
        assert!(((level(185, 265) - level(60, 175)).abs() - 3.0).abs() < 1.5);
        let mut row = Row {
            budget: 1.0,
            minutes: 1.0,
            steady: Count::default(),
            stepped: Count::default(),
            moved: Count::default(),
            alarms: Vec::new(),
        };
        assert!(time_of(&mut row, 30.0, 3600.0).is_none() && time_of(&mut row, 2750.0, 3600.0).is_none());
        time_of(&mut row, 3000.0, 3600.0).unwrap().alarms += 1;
        assert_eq!((row.moved.alarms, row.steady.alarms), (1, 0));
    }
}
