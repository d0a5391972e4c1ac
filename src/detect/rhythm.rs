//! The rhythm of a site: how often its sound begins anew, and whether the next beat came when it was due.

use serde::{Deserialize, Serialize};

use super::kept::Bands;
use crate::detect::exact::exact;
use crate::units::{BANDS, FRAME_RATE};

mod onsets;
mod tracker;

pub(crate) use tracker::{BeatFault, BeatTracker};

use onsets::OnsetStrength;

/// Periods that are looked for, frames: 0.2 to 4 s, and at most an eighth of the sound.
const PERIODS: std::ops::RangeInclusive<usize> = 20..=400;
/// Frames on either side over which onset strength is averaged before it is correlated: beats may be this far off.
const BLUR: usize = 4;
/// Autocorrelation from which there may be a rhythm.
const LEAST_STRENGTH: f64 = 0.25;
/// The same in deviations of the autocorrelation of noise of that length.
const LEAST_DEVIATIONS: f64 = 5.0;
/// A shorter period is taken where its autocorrelation reaches this share of the highest.
const SHORTER: f64 = 0.8;
/// Share of the beats of calibration that must come when they are due.
const LEAST_ON_TIME: f64 = 0.9;
/// Nine of ten beats are off by less than this share of the period.
const MOST_OFF: f64 = 0.08;
/// Fewest beats by which a rhythm is known.
const FEWEST_BEATS: usize = 8;

/// The dominant rhythm of a site, as of calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rhythm {
    /// Seconds from beat to beat, 0.2 to 4.
    pub(crate) period_s: f64,
    /// Autocorrelation of the onset strength at the period, 0.25 to 1.
    pub(crate) strength: f64,
    /// How far a beat may be from its due time, seconds: wider than all but a few of the calibration's were off.
    pub(crate) tolerance_s: f64,
    /// Onset strength from which there is a beat.
    pub(crate) threshold: f32,
    /// Deviation of the rise of each band, `[64]`, above 0.
    scale: Vec<f32>,
}

exact!(Rhythm { period_s, strength, tolerance_s, threshold, scale });

impl Rhythm {
    /// Finds the rhythm of consecutive frames: log-mel `bands` `[n, 64]` at 100 Hz. At each of `breaks` (frame numbers,
    /// ascending) the sound begins anew. None where there is none: the onset strength is not periodic, or too few of
    /// its beats come when they are due.
    ///
    /// The onset strength is the spectral flux: how much the bands rise within 30 ms, in deviations (Bello et al., A
    /// Tutorial on Onset Detection in Music Signals, 2005); the period is the lag of its highest autocorrelation.
    pub(super) fn fit(bands: &(impl Bands + ?Sized), breaks: &[usize]) -> Option<Self> {
        let frames = bands.count();
        if frames < FEWEST_BEATS * PERIODS.start() {
            return None;
        }
        let scale = onsets::scale(bands, breaks);
        let strengths = strengths(bands, breaks, &scale);
        let curve = blurred(&strengths);
        let (period, strength) = dominant(&curve)?;
        let threshold = threshold(&strengths, period)?;
        let rhythm = Self {
            period_s: period / f64::from(FRAME_RATE),
            strength,
            tolerance_s: tolerance_s(period / f64::from(FRAME_RATE), 0.0),
            threshold,
            scale,
        };
        rhythm.checked(bands, breaks)
    }

    /// With a tolerance that suits the sound it was found in; none where too many of its beats are not on time.
    fn checked(mut self, bands: &(impl Bands + ?Sized), breaks: &[usize]) -> Option<Self> {
        // beats may stray by a quarter of the period here, to learn how far they stray
        self.tolerance_s = self.period_s / 4.0;
        let (mut errors, mut faults) = self.replay(bands, breaks);
        // the first four are not compared with their due time
        if errors.len() + 4 < FEWEST_BEATS || !mostly_on_time(errors.len(), faults) {
            return None;
        }
        errors.iter_mut().for_each(|e| *e = e.abs());
        errors.sort_by(f64::total_cmp);
        let usual = errors.get(errors.len() * 9 / 10).copied().unwrap_or_default();
        if usual > MOST_OFF * self.period_s {
            return None;
        }
        self.tolerance_s = tolerance_s(self.period_s, usual);
        (errors, faults) = self.replay(bands, breaks);
        mostly_on_time(errors.len(), faults).then_some(self)
    }

    /// Seconds by which each beat was off, and how many beats were missing or too far off.
    fn replay(&self, bands: &(impl Bands + ?Sized), breaks: &[usize]) -> (Vec<f64>, usize) {
        let mut tracker = BeatTracker::new(self);
        let (mut errors, mut faults) = (Vec::new(), 0);
        for (i, frame) in bands.frames().enumerate() {
            if breaks.binary_search(&i).is_ok() {
                tracker = BeatTracker::new(self);
            }
            faults += usize::from(tracker.push(&frame, i as u64).is_some());
            errors.extend(tracker.takes_error_s());
        }
        (errors, faults)
    }

    pub(super) fn period_frames(&self) -> f64 {
        self.period_s * f64::from(FRAME_RATE)
    }

    /// Whether this could have come from a fit.
    pub(crate) fn is_whole(&self) -> bool {
        (0.19..=4.1).contains(&self.period_s)
            && (LEAST_STRENGTH..=1.01).contains(&self.strength)
            && self.tolerance_s > 0.0
            && self.tolerance_s < self.period_s / 2.0
            && self.threshold.is_finite()
            && self.scale.len() == BANDS
            && self.scale.iter().all(|x| *x > 0.0 && x.is_finite())
    }
}

fn mostly_on_time(on_time: usize, faults: usize) -> bool {
    on_time as f64 >= LEAST_ON_TIME * (on_time + faults) as f64
}

/// Seconds by which beats may be off where nine of ten are off by less than `usual_s`: at least 40 ms, at most 0.3 periods.
fn tolerance_s(period_s: f64, usual_s: f64) -> f64 {
    (0.06 * period_s).max(2.5 * usual_s).max(0.04).min(0.3 * period_s)
}

/// The onset strength of each frame; their mean where a window is not full.
fn strengths(bands: &(impl Bands + ?Sized), breaks: &[usize], scale: &[f32]) -> Vec<f32> {
    let mut onset = OnsetStrength::new();
    let values = bands.frames().enumerate().map(|(i, frame)| {
        if breaks.binary_search(&i).is_ok() {
            onset = OnsetStrength::new();
        }
        onset.push(&frame, scale)
    });
    let values: Vec<Option<f32>> = values.collect();
    let known = values.iter().flatten().count().max(1);
    let mean = values.iter().flatten().sum::<f32>() / known as f32;
    values.iter().map(|value| value.unwrap_or(mean)).collect()
}

/// The strengths without their mean, cut at a high quantile so that no single event counts for many beats, and averaged.
fn blurred(strengths: &[f32]) -> Vec<f64> {
    let mut sorted = strengths.to_vec();
    sorted.sort_by(f32::total_cmp);
    let top = sorted.get(sorted.len() * 199 / 200).copied().unwrap_or_default();
    let cut: Vec<f64> = strengths.iter().map(|&x| f64::from(x.min(top))).collect();
    let mean = cut.iter().sum::<f64>() / cut.len().max(1) as f64;
    (0..cut.len())
        .map(|i| {
            let near = &cut[i.saturating_sub(BLUR)..(i + BLUR + 1).min(cut.len())];
            near.iter().sum::<f64>() / near.len() as f64 - mean
        })
        .collect()
}

/// Period in frames and autocorrelation there.
fn dominant(curve: &[f64]) -> Option<(f64, f64)> {
    let power = curve.iter().map(|x| x * x).sum::<f64>() / curve.len() as f64;
    let correlation = |lag: usize| -> f64 {
        let pairs = curve.len().saturating_sub(lag);
        if pairs == 0 || power <= 0.0 {
            return 0.0;
        }
        let sum: f64 = curve.iter().zip(curve.get(lag..).unwrap_or_default()).map(|(a, b)| a * b).sum();
        sum / pairs as f64 / power
    };
    let longest = (*PERIODS.end()).min(curve.len() / FEWEST_BEATS);
    let values: Vec<f64> = (PERIODS.start() - 1..=longest + 1).map(correlation).collect();
    let peaks: Vec<(usize, f64)> = values
        .windows(3)
        .enumerate()
        .filter(|(_, w)| w[1] >= w[0] && w[1] > w[2])
        .map(|(i, w)| (PERIODS.start() + i, w[1]))
        .collect();
    let highest = peaks.iter().map(|p| p.1).fold(0.0, f64::max);
    let independent = curve.len() as f64 / (2 * BLUR + 1) as f64;
    if highest < LEAST_STRENGTH.max(LEAST_DEVIATIONS / independent.sqrt()) {
        return None;
    }
    let &(lag, strength) = peaks.iter().find(|p| p.1 >= SHORTER * highest)?;
    // the longer the lag, the finer the period
    let mut period = interpolated(&correlation, lag);
    for times in 2..=32 {
        let about = (period * f64::from(times)).round() as usize;
        let reach = (lag / 8).clamp(2, 8);
        if about + reach + 1 >= curve.len() / 2 {
            break;
        }
        let near = (about - reach..=about + reach).map(|l| (l, correlation(l)));
        let Some((best, value)) = near.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        if value < 0.5 * strength {
            break;
        }
        period = interpolated(&correlation, best) / f64::from(times);
    }
    Some((period, strength.min(1.0)))
}

/// The lag of the peak near `lag`, by a parabola through it and its neighbours.
fn interpolated(correlation: &impl Fn(usize) -> f64, lag: usize) -> f64 {
    let [a, b, c] = [lag - 1, lag, lag + 1].map(correlation);
    let bend = a - 2.0 * b + c;
    let shift = if bend < 0.0 { (0.5 * (a - c) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    lag as f64 + shift
}

/// Half way between what is common and what a beat reaches; none where beats do not stand out.
fn threshold(strengths: &[f32], period: f64) -> Option<f32> {
    let whole = strengths.chunks_exact((period * 1.1).ceil() as usize);
    let mut beats: Vec<f32> =
        whole.map(|chunk| chunk.iter().copied().fold(f32::NEG_INFINITY, f32::max)).collect();
    beats.sort_by(f32::total_cmp);
    let mut all = strengths.to_vec();
    all.sort_by(f32::total_cmp);
    let quiet = all.get(all.len() / 2).copied()?;
    // of ten beats one may be missing
    let beat = beats.get(beats.len() / 8).copied()?;
    (beat > 1.5 * quiet).then_some(quiet + 0.5 * (beat - quiet))
}

#[cfg(test)]
mod tests;
