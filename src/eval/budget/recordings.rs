//! Uninterrupted recordings, hour after hour.

use std::cell::RefCell;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Alarm, BudgetSetting, Count, drift, run};
use crate::corpus::rare::{Background, Continuity, Material};
use crate::error::{Error, Result};
use crate::model::{Cpc, Manifest};
use crate::units::{FRAME_RATE, HOP, samples_to_seconds, seconds_to_samples};

/// Seconds after the calibration that are not counted.
const SETTLE_S: f64 = 5.0;
/// Least seconds of a calibration without repeats.
const LEAST_S: f64 = 15.0;

/// Plan of the measurement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Hours of each stream after its calibration.
    pub hours: f64,
    /// Most recordings that are used, the longest of them.
    pub recordings: usize,
    /// Budgets, events an hour.
    pub budgets: Vec<f64>,
    /// Lengths of calibration in minutes.
    pub minutes: Vec<f64>,
    /// Whether a recording that is shorter than its calibration is played again to fill it. Otherwise it is learnt from for as long as
    /// it has sound, and one that has less than 15 s for that is left out.
    pub repeat_calibration: bool,
    /// Seed of the streams.
    pub seed: u64,
}

/// One budget after one length of calibration, over all recordings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Events an hour.
    pub budget: f64,
    /// Minutes of calibration.
    pub minutes: f64,
    /// Seconds of calibration of each recording.
    pub learnt_s: Vec<f64>,
    /// Hour after hour since the end of the calibration.
    pub by_hour: Vec<Count>,
    /// Sound that was not played before, of all hours.
    pub new: Count,
    /// All hours, by recording.
    pub by_recording: Vec<(String, Count)>,
    /// All alarms after the calibration.
    pub alarms: Vec<Alarm>,
}

impl Plan {
    /// Seconds of calibration over a recording, where `wanted_s` are asked for.
    fn calibration_of(&self, recording: &Background, wanted_s: f64) -> f64 {
        if self.repeat_calibration {
            return wanted_s;
        }
        let [quiet, tested] =
            [wanted_s + SETTLE_S, self.hours * 3600.0].map(|s| seconds_to_samples(s) as usize);
        let held_s = samples_to_seconds(recording.unrepeated(quiet, tested) as u64);
        wanted_s.min((held_s - SETTLE_S).floor())
    }
}

/// Runs the detector over uninterrupted recordings of `material`. Their gain drifts by 1 dB from minute to minute;
/// nothing else changes.
///
/// A recording that is too short is calibrated on in one part and tested on in the other, each of which goes on from
/// its end to its beginning in a cross-fade; `new` counts the sound that is played for the first time. `progress` is
/// called with streams and share done.
///
/// # Errors
/// When there is no such recording, or the model fails.
pub fn measure(
    model: (&Manifest, &Arc<Cpc>),
    material: &Material,
    plan: &Plan,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Vec<Row>> {
    let long = material.backgrounds.iter().filter(|b| b.continuity == Continuity::Recording);
    let longest = plan.minutes.iter().copied().fold(0.0, f64::max) * 60.0;
    let enough = long.filter(|b| plan.calibration_of(b, longest) >= LEAST_S.min(longest));
    let recordings: Vec<&Background> = enough.take(plan.recordings).collect();
    if recordings.is_empty() || plan.hours <= 0.0 {
        return Err(Error::config(
            format!("{} uninterrupted recordings for {} h", recordings.len(), plan.hours),
            "give a folder whose manifest.csv has long recordings in this split, and at least 0.1 h",
        ));
    }
    let mut rows = Vec::new();
    for (turn, &minutes) in plan.minutes.iter().enumerate() {
        let row = |&budget: &f64| Row {
            budget,
            minutes,
            learnt_s: Vec::new(),
            by_hour: vec![Count::default(); plan.hours.ceil() as usize],
            new: Count::default(),
            by_recording: Vec::new(),
            alarms: Vec::new(),
        };
        let mut own: Vec<Row> = plan.budgets.iter().map(row).collect();
        for (number, recording) in recordings.iter().enumerate() {
            let done = turn * recordings.len() + number;
            let in_all = plan.minutes.len() * recordings.len();
            let mut show = |share: f64| {
                progress(&recording.name, done * 1000 + (share * 1000.0) as usize, in_all * 1000);
            };
            of_recording(model, recording, number as u64, plan, &mut own, &mut show)?;
        }
        rows.extend(own);
    }
    Ok(rows)
}

fn of_recording(
    model: (&Manifest, &Arc<Cpc>),
    recording: &Background,
    number: u64,
    plan: &Plan,
    rows: &mut [Row],
    progress: &mut dyn FnMut(f64),
) -> Result<()> {
    let wanted_s = rows.first().map_or(0.0, |row| row.minutes * 60.0);
    let calibrate_s = plan.calibration_of(recording, wanted_s);
    let learnt_s = calibrate_s + SETTLE_S;
    let quiet = seconds_to_samples(learnt_s) as usize;
    let length = (quiet + seconds_to_samples(plan.hours * 3600.0) as usize) / HOP * HOP;
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ number << 32);
    let mut playback = recording.play(&mut rng, quiet, length, false);
    drift(&mut rng, &mut playback.samples, |_| 0.0);
    let settings: Vec<BudgetSetting> =
        rows.iter().map(|row| BudgetSetting { budget: row.budget, calibrate_s }).collect();
    for row in &mut *rows {
        row.by_recording.push((recording.name.clone(), Count::default()));
        row.learnt_s.push(calibrate_s);
    }
    let rows = RefCell::new(rows);
    let add = |row: usize, at_s: f64, alarms: usize, hours: f64| {
        if at_s < learnt_s {
            return;
        }
        let row = &mut rows.borrow_mut()[row];
        let hour = ((at_s - learnt_s) / 3600.0) as usize;
        let of_hour = row.by_hour.get_mut(hour);
        let of_recording = row.by_recording.last_mut().map(|(_, count)| count);
        let of_new = (at_s < playback.new_until_s).then_some(&mut row.new);
        for count in of_hour.into_iter().chain(of_recording).chain(of_new) {
            count.alarms += alarms;
            count.hours += hours;
        }
    };
    run(
        model,
        &playback.samples,
        &settings,
        &mut |row, finding| {
            add(row, finding.emitted_s, 1, 0.0);
            if finding.emitted_s >= learnt_s {
                rows.borrow_mut()[row].alarms.push(Alarm::of(finding, &recording.name));
            }
        },
        &mut |row, at_s| add(row, at_s, 0, 1.0 / f64::from(FRAME_RATE) / 3600.0),
        progress,
    )
}
