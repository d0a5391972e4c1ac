//! Whether what usually runs at a site runs: its level, and its beats.

use serde::{Deserialize, Serialize};

use super::kind::Clues;
use super::rhythm::{BeatFault, BeatTracker, Rhythm};
use crate::frame::Frame;
use crate::units::FRAME_RATE;

/// Frames over which levels are averaged: 0.5 s.
const WINDOW: usize = FRAME_RATE as usize / 2;
/// Share of the windows of calibration that lie below the floor, one in so many.
const FLOOR: usize = 100;
/// A window is below the floor by at least this, dB.
const MARGIN_DB: f64 = 1.0;
/// Frames below the floor after which what comes next is a new run.
const PAUSE: u64 = FRAME_RATE as u64;
/// Frames for which what was wrong with a beat is a clue.
const FRESH: u64 = FRAME_RATE as u64;

/// What calibration heard of level and rhythm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activity {
    /// Level over 0.5 s below which 1 % of calibration lay, dB full scale.
    floor_dbfs: f32,
    /// The rhythm, where there is one.
    rhythm: Option<Rhythm>,
}

impl Activity {
    /// Of calibration: levels of consecutive hops in dB full scale, and log-mel `bands` `[n, 64]` with the frame numbers
    /// before which something is missing (those may be of a part of the sound only).
    pub(crate) fn fit(levels_dbfs: &[f64], bands: &[f32], breaks: &[usize]) -> Self {
        let powers: Vec<f64> = levels_dbfs.iter().map(|&level| power(level)).collect();
        let mut windows: Vec<f64> = powers
            .windows(WINDOW)
            .step_by(WINDOW / 10)
            .map(|window| decibels(window.iter().sum::<f64>() / WINDOW as f64))
            .collect();
        windows.sort_by(f64::total_cmp);
        let floor = windows.get(windows.len() / FLOOR).copied().unwrap_or(-120.0);
        Self { floor_dbfs: floor as f32, rhythm: Rhythm::fit(bands, breaks) }
    }

    /// Whether this could have come from a fit.
    pub(crate) fn is_whole(&self) -> bool {
        self.floor_dbfs.is_finite() && self.rhythm.as_ref().is_none_or(Rhythm::is_whole)
    }
}

/// Follows level and beats of a stream since its last break: O(1) a frame, bounded memory.
#[derive(Debug, Clone)]
pub(crate) struct ActivityTracker {
    /// Powers of the last frames, the oldest at `next` once all are there.
    powers: [f64; WINDOW],
    next: usize,
    frames: u64,
    /// Frames in a row for which the level has been below the floor.
    quiet: u64,
    /// The frame from which on the background runs, and the one from which on its beats come.
    runs_from: u64,
    beats_from: u64,
    beats: Option<BeatTracker>,
    /// What was wrong with a beat, and in which frame it was found.
    fault: Option<(BeatFault, u64)>,
    missed: u32,
}

impl ActivityTracker {
    pub(crate) fn new() -> Self {
        Self {
            powers: [0.0; WINDOW],
            next: 0,
            frames: 0,
            quiet: 0,
            runs_from: 0,
            beats_from: 0,
            beats: None,
            fault: None,
            missed: 0,
        }
    }

    /// The next frame while nothing is known of the site: its background counts as running.
    pub(crate) fn hear(&mut self, frame: &Frame) {
        if let Some(slot) = self.powers.get_mut(self.next) {
            *slot = power(f64::from(frame.level_dbfs));
        }
        self.next = (self.next + 1) % WINDOW;
        self.frames += 1;
    }

    /// The next frame of a calibrated stream.
    pub(crate) fn push(&mut self, frame: &Frame, known: &Activity) {
        self.hear(frame);
        let below = self.level_dbfs().is_some_and(|level| level < f64::from(known.floor_dbfs) - MARGIN_DB);
        if below {
            self.quiet += 1;
        } else {
            if self.quiet >= PAUSE {
                self.runs_from = self.frames;
            }
            self.quiet = 0;
        }
        let Some(rhythm) = &known.rhythm else { return };
        let beats = self.beats.get_or_insert_with(|| BeatTracker::new(rhythm));
        if let Some(fault) = beats.push(&frame.bands, frame.index) {
            self.fault = Some((fault, self.frames));
        }
        let missed = beats.missed_in_a_row();
        if missed == 0 && self.missed > 1 {
            self.beats_from = self.frames;
        }
        self.missed = missed;
    }

    /// What there is to say of the last frame; `background_dbfs` is the median level of calibration. Probabilities and bands
    /// are left as they are where nothing is known.
    pub(crate) fn clues(&self, known: &Activity, background_dbfs: f32) -> Clues {
        let level = self.level_dbfs().unwrap_or(f64::from(background_dbfs));
        let ran = if self.quiet > 0 {
            Some(self.frames - self.quiet - self.runs_from)
        } else {
            (self.missed > 1).then(|| self.frames - self.beats_from)
        };
        let seconds = |frames: u64| frames as f64 / f64::from(FRAME_RATE);
        Clues {
            level_change_db: level - f64::from(background_dbfs),
            below_floor_s: seconds(self.quiet),
            ran_s: ran.map(seconds),
            period_s: known.rhythm.as_ref().map(|rhythm| rhythm.period_s),
            beat: self.fault.filter(|(_, at)| self.frames - at < FRESH).map(|(fault, _)| fault),
            missed_beats: self.missed,
            tempo_percent: self.beats.as_ref().and_then(BeatTracker::tempo_percent),
            ..Clues::default()
        }
    }

    /// Level of the last 0.5 s, dB full scale; none before.
    fn level_dbfs(&self) -> Option<f64> {
        let is_full = self.frames >= WINDOW as u64;
        is_full.then(|| decibels(self.powers.iter().sum::<f64>() / WINDOW as f64))
    }
}

fn power(dbfs: f64) -> f64 {
    10f64.powf(dbfs / 10.0)
}

fn decibels(power: f64) -> f64 {
    10.0 * power.max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BANDS;

    fn frame(index: u64, level_dbfs: f32, beats: bool) -> Frame {
        let beat = beats && index % 80 < 8;
        let band = |b: u64| {
            let noise = ((index * 7919 + b * 104_729) % 1013) as f32 / 1013.0;
            -6.0 + noise + if beat && b < 30 { 4.0 } else { 0.0 }
        };
        let bands = (0..BANDS as u64).map(band).collect();
        Frame { index, level_dbfs, bands, ..Frame::default() }
    }

    /// A minute of a machine between −42 and −38 dBFS, with beats every 0.8 s or without.
    fn normal(beats: bool) -> (Vec<Frame>, Activity) {
        let frames: Vec<Frame> =
            (0..6000).map(|i| frame(i, -40.0 + 2.0 * (i as f32 / 150.0).sin(), beats)).collect();
        let levels: Vec<f64> = frames.iter().map(|f| f64::from(f.level_dbfs)).collect();
        let bands: Vec<f32> = frames.iter().flat_map(|f| f.bands.iter().copied()).collect();
        (frames, Activity::fit(&levels, &bands, &[]))
    }

    #[test]
    fn a_stop_is_below_the_floor_and_told_with_how_long_it_ran() {
        let (frames, activity) = normal(false);
        assert!((activity.floor_dbfs + 42.0).abs() < 0.2 && activity.rhythm.is_none(), "{activity:?}");
        let mut tracker = ActivityTracker::new();
        frames.iter().for_each(|frame| tracker.hear(frame));
        for i in 6000..6300 {
            tracker.push(&frame(i, -40.0, false), &activity);
            assert_eq!(tracker.clues(&activity, -40.0).below_floor_s, 0.0);
        }
        (6300..6400).for_each(|i| tracker.push(&frame(i, -70.0, false), &activity));
        let clues = tracker.clues(&activity, -40.0);
        assert!((0.7..0.9).contains(&clues.below_floor_s), "{clues:?}");
        assert!((clues.ran_s.unwrap() - 63.2).abs() < 0.2 && clues.level_change_db < -25.0, "{clues:?}");
        // it runs again for 10 s, stutters, and stops
        (6400..6600).for_each(|i| tracker.push(&frame(i, -70.0, false), &activity));
        (6600..7600).for_each(|i| {
            tracker.push(&frame(i, if i % 500 < 70 { -70.0 } else { -40.0 }, false), &activity)
        });
        (7600..7700).for_each(|i| tracker.push(&frame(i, -70.0, false), &activity));
        let ran = tracker.clues(&activity, -40.0).ran_s.unwrap();
        assert!((ran - 10.0).abs() < 0.5, "{ran}");
    }

    #[test]
    fn beats_are_clues_for_a_second_and_a_stop_of_beats_has_its_length() {
        let (frames, activity) = normal(true);
        let mut tracker = ActivityTracker::new();
        frames.iter().for_each(|frame| tracker.push(frame, &activity));
        let clues = tracker.clues(&activity, -40.0);
        assert!((clues.period_s.unwrap() - 0.8).abs() < 0.01 && clues.beat.is_none(), "{clues:?}");
        // the one at 60.0 s does not come
        (6000..6040).for_each(|i| tracker.push(&frame(i, -40.0, false), &activity));
        let clues = tracker.clues(&activity, -40.0);
        let Some(BeatFault::Missing { due_s }) = clues.beat else { panic!("{clues:?}") };
        assert!((due_s - 60.0).abs() < 0.04 && clues.missed_beats == 1, "{clues:?}");
        (6040..6150).for_each(|i| tracker.push(&frame(i, -40.0, true), &activity));
        assert_eq!(tracker.clues(&activity, -40.0).beat, None);
        (6150..6500).for_each(|i| tracker.push(&frame(i, -40.0, false), &activity));
        let clues = tracker.clues(&activity, -40.0);
        assert!(clues.missed_beats == 3 && (clues.ran_s.unwrap() - 65.0).abs() < 0.1, "{clues:?}");
    }

    #[test]
    fn it_survives_json_and_is_checked() {
        let (_, activity) = normal(true);
        let json = serde_json::to_string(&activity).unwrap();
        assert_eq!(serde_json::from_str::<Activity>(&json).unwrap(), activity);
        assert!(activity.is_whole());
        assert!(!Activity { floor_dbfs: f32::NAN, rhythm: None }.is_whole());
    }
}
