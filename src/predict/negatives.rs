//! Which negatives, and how many of each kind.

use serde::{Deserialize, Serialize};

use crate::units::{HOP, mean_square};

/// The kinds of negatives of a positive z_{t+k}. A kind with a weight or a count of 0 is off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Negatives {
    /// Weight of the other frames of the same window.
    pub within_weight: f64,
    /// Frames on either side of the positive that do not count (circularly, so that every anchor has the same
    /// number of negatives).
    pub within_zone: usize,
    /// Latents drawn from the other recordings of the batch for each window.
    pub cross: usize,
    /// Weight of these.
    pub cross_weight: f64,
    /// Latents drawn for each window from a queue of recent ones, all from other recordings.
    pub queue: usize,
    /// Weight of the queue's own InfoNCE term; the other kinds share one of weight 1.
    pub queue_weight: f64,
    /// Copies of the window into which another recording is mixed: frame t + k of each is a negative.
    pub foreign: usize,
    /// Weight of these.
    pub foreign_weight: f64,
    /// Level of what is mixed in relative to the window, drawn from this range in dB.
    pub foreign_db: (f32, f32),
}

impl Default for Negatives {
    fn default() -> Self {
        Self {
            within_weight: 1.0,
            within_zone: 2,
            cross: 128,
            cross_weight: 1.0,
            queue: 0,
            queue_weight: 1.0,
            foreign: 1,
            foreign_weight: 1.0,
            foreign_db: (-18.0, 6.0),
        }
    }
}

impl Negatives {
    /// No negatives of any kind, to choose from.
    #[must_use]
    pub fn none() -> Self {
        Self { within_weight: 0.0, cross: 0, queue: 0, foreign: 0, ..Self::default() }
    }

    /// The other frames of the same window alone.
    #[must_use]
    pub fn within_only() -> Self {
        Self { within_weight: 1.0, ..Self::none() }
    }

    /// Other recordings of the batch alone.
    #[must_use]
    pub fn cross_only(count: usize) -> Self {
        Self { cross: count, cross_weight: 1.0, ..Self::none() }
    }

    /// A queue alone.
    #[must_use]
    pub fn queue_only(count: usize) -> Self {
        Self { queue: count, queue_weight: 1.0, ..Self::none() }
    }

    /// The window's own future with a foreign sound alone.
    #[must_use]
    pub fn foreign_only(count: usize) -> Self {
        Self { foreign: count, foreign_weight: 1.0, ..Self::none() }
    }

    /// Whether frames of the same window count.
    #[must_use]
    pub fn has_within(&self) -> bool {
        self.within_weight > 0.0
    }

    /// Latents of other recordings of the batch that count.
    #[must_use]
    pub fn cross(&self) -> usize {
        if self.cross_weight > 0.0 { self.cross } else { 0 }
    }

    /// Latents of the queue that count.
    #[must_use]
    pub fn queue(&self) -> usize {
        if self.queue_weight > 0.0 { self.queue } else { 0 }
    }

    /// Foreign mixtures that count.
    #[must_use]
    pub fn foreign(&self) -> usize {
        if self.foreign_weight > 0.0 { self.foreign } else { 0 }
    }

    /// N: negatives of one positive in windows of `frames` frames, without the queue (which has a term of its own).
    #[must_use]
    pub fn count(&self, frames: usize) -> usize {
        let within = if self.has_within() { frames.saturating_sub(2 * self.within_zone + 1) } else { 0 };
        within + self.cross() + self.foreign()
    }

    /// Description in words.
    #[must_use]
    pub fn description(&self) -> String {
        let mut parts = Vec::new();
        if self.has_within() {
            parts.push(format!("same window beyond ±{} frames", self.within_zone));
        }
        if self.cross() > 0 {
            parts.push(format!("{} of other recordings", self.cross));
        }
        if self.queue() > 0 {
            parts.push(format!("{} of a queue", self.queue));
        }
        if self.foreign() > 0 {
            let (low, high) = self.foreign_db;
            parts.push(format!(
                "own future with a foreign sound at {low} to {high} dB, {} times",
                self.foreign
            ));
        }
        parts.join(", ")
    }

    /// The key that is out of range and what it should be, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let weight = |w: f64| (0.0..=1000.0).contains(&w);
        let (low, high) = self.foreign_db;
        let checks = [
            ("within_weight", weight(self.within_weight), "0 to 1000"),
            ("within_zone", self.within_zone <= 32, "32 or less"),
            ("cross", self.cross <= 4096, "4096 or less"),
            ("cross_weight", weight(self.cross_weight), "0 to 1000"),
            ("queue", self.queue <= 4096, "4096 or less"),
            ("queue_weight", weight(self.queue_weight), "0 to 1000"),
            ("foreign", self.foreign <= 8, "8 or less"),
            ("foreign_weight", weight(self.foreign_weight), "0 to 1000"),
            ("foreign_db", low <= high && low >= -60.0 && high <= 40.0, "a range within -60 to 40"),
        ];
        let wrong = checks.into_iter().find(|(_, fine, _)| !fine).map(|(key, _, range)| (key, range));
        wrong.or_else(|| {
            let none = !self.has_within() && self.cross() + self.queue() + self.foreign() == 0;
            none.then_some(("within_weight", "above 0, or ask for another kind of negatives"))
        })
    }
}

/// Below this level relative to the window (dB) a foreign sound is not there.
const AUDIBLE_DB: f32 = -24.0;

/// `own` with `foreign` (as long, [-1, 1]) mixed in at `level_db` relative to it over the whole window; `mixed`
/// receives the sum, clipped to [-1, 1]. For each frame, whether nothing audible was added to it.
fn mix_foreign(own: &[f32], foreign: &[f32], level_db: f32, mixed: &mut Vec<f32>) -> Vec<bool> {
    let power = |xs: &[f32]| mean_square(xs) as f32;
    let ratio = 10f32.powf(level_db / 10.0);
    let gain = (ratio * power(own).max(1e-10) / power(foreign).max(1e-10)).sqrt();
    let inaudible = 10f32.powf(AUDIBLE_DB / 10.0);
    mixed.clear();
    mixed.extend(own.iter().zip(foreign).map(|(x, y)| (x + gain * y).clamp(-1.0, 1.0)));
    let hops = own.chunks(HOP).zip(foreign.chunks(HOP));
    hops.map(|(x, y)| gain * gain * power(y) < inaudible * power(x).max(1e-10)).collect()
}

/// Windows with foreign ones mixed in at a level each, one after another, and 1 for each frame to which nothing audible
/// was added.
pub fn mixtures<'a>(pairs: impl Iterator<Item = (&'a [f32], &'a [f32], f32)>) -> (Vec<f32>, Vec<f32>) {
    let (mut samples, mut untouched, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
    for (own, foreign, level_db) in pairs {
        let frames = mix_foreign(own, foreign, level_db, &mut mixed);
        samples.extend_from_slice(&mixed);
        untouched.extend(frames.into_iter().map(|untouched| f32::from(u8::from(untouched))));
    }
    (samples, untouched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreign_sound_has_the_level_asked_for_and_silent_parts_do_not_count() {
        let own: Vec<f32> = (0..8 * HOP).map(|i| 0.1 * (i as f32 * 0.3).sin()).collect();
        let half = |i: usize| if i < 4 * HOP { 0.0 } else { 0.2 * (i as f32 * 0.9).sin() };
        let foreign: Vec<f32> = (0..8 * HOP).map(half).collect();
        let mut mixed = Vec::new();
        let untouched = mix_foreign(&own, &foreign, -6.0, &mut mixed);
        assert_eq!(untouched, [true, true, true, true, false, false, false, false]);
        let power = |xs: &[f32]| xs.iter().map(|x| x * x).sum::<f32>();
        let added: Vec<f32> = mixed.iter().zip(&own).map(|(m, x)| m - x).collect();
        let level = 10.0 * (power(&added) / power(&own)).log10();
        assert!((level + 6.0).abs() < 0.05, "{level}");
    }

    #[test]
    fn no_negatives_at_all_are_a_fault() {
        assert_eq!(Negatives::default().fault(), None);
        assert_eq!(Negatives::none().fault().unwrap().0, "within_weight");
        assert_eq!(Negatives { queue: 5000, ..Negatives::default() }.fault().unwrap().0, "queue");
        assert_eq!(Negatives::default().count(128), 123 + 128 + 1);
    }
}
