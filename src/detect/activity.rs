//! Whether what usually runs at a site runs as usual: its level, its beats and its pitch.

use serde::{Deserialize, Serialize};

use super::kept::Bands;
use super::kind::EventFeatures;
use super::pitch::{PitchTracker, Tones};
use super::rhythm::{BeatFault, BeatTracker, Rhythm};
use crate::detect::exact::exact;
use crate::frame::Frame;
use crate::units::{FRAME_RATE, decibels};

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

/// What calibration received of level, rhythm and pitch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activity {
    /// Level over 0.5 s below which 1 % of calibration lay, dB full scale.
    floor_dbfs: f32,
    /// The rhythm, where there is one.
    rhythm: Option<Rhythm>,
    /// The tones, where there are any.
    tones: Option<Tones>,
}

impl Activity {
    /// Of calibration: levels of consecutive hops in dB full scale, and log-mel `bands` `[n, 64]` with the frame numbers
    /// before which something is missing (those may be of a part of the sound only).
    pub(super) fn fit(levels_dbfs: &[f64], bands: &(impl Bands + ?Sized), breaks: &[usize]) -> Self {
        let powers: Vec<f64> = levels_dbfs.iter().map(|&level| power(level)).collect();
        let mut windows: Vec<f64> = powers
            .windows(WINDOW)
            .step_by(WINDOW / 10)
            .map(|window| decibels(window.iter().sum::<f64>() / WINDOW as f64))
            .collect();
        windows.sort_by(f64::total_cmp);
        let floor = windows.get(windows.len() / FLOOR).copied().unwrap_or(-120.0);
        Self { floor_dbfs: floor as f32, rhythm: Rhythm::fit(bands, breaks), tones: Tones::fit(bands) }
    }

    /// Whether this could have come from a fit.
    pub(crate) fn is_whole(&self) -> bool {
        self.floor_dbfs.is_finite()
            && self.rhythm.as_ref().is_none_or(Rhythm::is_whole)
            && self.tones.as_ref().is_none_or(Tones::is_whole)
    }
}

/// Follows level, beats and pitch of a stream since its last break: O(1) a frame, bounded memory.
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
    pitch: PitchTracker,
}

exact!(ActivityTracker { powers, next, frames, quiet, runs_from, beats_from, beats, fault, missed, pitch });

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
            pitch: PitchTracker::new(),
        }
    }

    /// The next frame while nothing is known of the site: its background counts as running.
    pub(crate) fn hear(&mut self, frame: &Frame) {
        if let Some(slot) = self.powers.get_mut(self.next) {
            *slot = power(f64::from(frame.level_dbfs));
        }
        self.next = (self.next + 1) % WINDOW;
        self.frames += 1;
        self.pitch.push(&frame.bands);
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

    /// What there is to say of the last frame, but for probabilities and bands. `background_dbfs` is the median level of
    /// calibration; the pitch is looked for where the frame is `improbable`, in every tenth.
    pub(crate) fn clues(&self, known: &Activity, background_dbfs: f32, improbable: bool) -> EventFeatures {
        let level = self.level_dbfs().unwrap_or(f64::from(background_dbfs));
        let ran = if self.quiet > 0 {
            Some(self.frames - self.quiet - self.runs_from)
        } else {
            (self.missed > 1).then(|| self.frames - self.beats_from)
        };
        let tones = known.tones.as_ref().filter(|_| improbable && self.frames.is_multiple_of(10));
        let seconds = |frames: u64| frames as f64 / f64::from(FRAME_RATE);
        EventFeatures {
            level_change_db: level - f64::from(background_dbfs),
            below_floor_s: seconds(self.quiet),
            ran_s: ran.map(seconds),
            period_s: known.rhythm.as_ref().map(|rhythm| rhythm.period_s),
            beat: self.fault.filter(|(_, at)| self.frames - at < FRESH).map(|(fault, _)| fault),
            missed_beats: self.missed,
            tempo_percent: self.beats.as_ref().and_then(BeatTracker::tempo_percent),
            pitch_percent: tones.and_then(|tones| self.pitch.percent(tones)),
            ..EventFeatures::default()
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

#[cfg(test)]
mod tests;
