//! Clips joined end to end: half of the time steady, then a gain step, then another site.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Alarm, BudgetSetting, Count, drift, run};
use crate::corpus::rare::{Material, join};
use crate::error::{Error, Result};
use crate::model::{Cpc, Manifest};
use crate::units::{FRAME_RATE, HOP, MODEL_RATE};

/// The step of the gain, dB.
const STEP_DB: f32 = 3.0;
/// Seconds that a change of the site takes beside the calibration, for detection and settling.
const RECOVERY_S: f64 = 180.0;

/// Plan of the measurement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Hours of each stream: half of it steady, a quarter after a gain step, a quarter at another site.
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
    /// At another site, after its calibration.
    pub moved: Count,
    /// All alarms, also those during calibrations.
    pub alarms: Vec<Alarm>,
}

/// Runs the detector over streams of `material`, all budgets and lengths at once. `progress` is called with streams and
/// share done.
///
/// # Errors
/// When the model fails or a stream is too short for a calibration.
pub fn measure(
    model: (&Manifest, &Arc<Cpc>),
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
    let settings: Vec<BudgetSetting> = rows
        .iter()
        .map(|row| BudgetSetting { budget: row.budget, calibrate_s: row.minutes * 60.0 })
        .collect();
    let places = material.backgrounds.len().min(plan.backgrounds);
    for number in 0..places {
        let samples = stream(material, number, plan);
        let seconds = samples.len() as f64 / f64::from(MODEL_RATE);
        let name = material.backgrounds.get(number).map_or("", |b| b.name.as_str());
        let all = std::cell::RefCell::new(&mut rows);
        run(
            model,
            &samples,
            &settings,
            &mut |row, finding| {
                let row = &mut all.borrow_mut()[row];
                row.alarms.push(Alarm::of(finding, name));
                if let Some(count) = time_of(row, finding.emitted_s, seconds) {
                    count.alarms += 1;
                }
            },
            &mut |row, at_s| {
                if let Some(count) = time_of(&mut all.borrow_mut()[row], at_s, seconds) {
                    count.hours += 1.0 / f64::from(FRAME_RATE) / 3600.0;
                }
            },
            &mut |done| progress(name, number * 1000 + (done * 1000.0) as usize, places * 1000),
        )?;
    }
    Ok(rows)
}

/// The phase of a moment; `None` during calibrations.
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

/// Three quarters at one site with a gain step in the middle, the last quarter at the next site.
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
    drift(&mut rng, &mut samples, |at| if at >= length / 2 { step } else { 0.0 });
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

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
