//! The numbers that every stage agrees on, and conversions between samples, frames and seconds.
//!
//! A *sample* is one mono amplitude in [-1, 1] at [`MODEL_RATE`]. A *hop* is [`HOP`] samples, the stride of
//! the encoder g_enc. *Frame* `u` is the latent z_u that exists once sample `160 u + 159` has arrived.

use std::fmt;

/// Sample rate of every model, in Hz (CPC paper, section 3.1).
pub const MODEL_RATE: u32 = 16_000;

/// Samples a frame: the product of the encoder's strides 5 · 4 · 2 · 2 · 2.
pub const HOP: usize = 160;

/// Log-mel bands that detection looks at: 50 Hz to 8 kHz, evenly on the mel scale.
pub const BANDS: usize = 64;

/// Frames a second.
pub const FRAME_RATE: u32 = MODEL_RATE / HOP as u32;

/// Largest magnitude of a sample that counts as sound, 80 dB over full scale. A sample beyond it, NaN and infinities
/// are *invalid*: no microphone produces them, and one of them could corrupt a model's state for good.
pub const LARGEST_SAMPLE: f32 = 1e4;

/// Whether `sample` is a number of at most [`LARGEST_SAMPLE`].
#[must_use]
pub fn is_valid_sample(sample: f32) -> bool {
    // false for NaN
    sample.abs() <= LARGEST_SAMPLE
}

/// A sample as an integer of 16 bits: the nearest of 32,768 steps to full scale, which is as far as it goes.
#[must_use]
pub fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

/// An integer of 16 bits as a sample in [-1, 1): the inverse of [`to_i16`].
#[must_use]
pub fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Seconds from the first sample of the stream to sample `index`.
#[must_use]
pub fn samples_to_seconds(index: u64) -> f64 {
    index as f64 / f64::from(MODEL_RATE)
}

/// Index of the sample nearest to `seconds` after the first sample of the stream (negative times give 0).
#[must_use]
pub fn seconds_to_samples(seconds: f64) -> u64 {
    (seconds * f64::from(MODEL_RATE)).round().max(0.0) as u64
}

/// Whole frames in `seconds` (rounded to the nearest frame).
#[must_use]
pub fn seconds_to_frames(seconds: f64) -> usize {
    (seconds * f64::from(FRAME_RATE)).round().max(0.0) as usize
}

/// First sample of the hop that completes frame `frame`: `160 · frame`.
#[must_use]
pub fn frame_start(frame: u64) -> u64 {
    frame * HOP as u64
}

/// Sample index just past the hop of frame `frame`: `160 · (frame + 1)`.
#[must_use]
pub fn frame_end(frame: u64) -> u64 {
    (frame + 1) * HOP as u64
}

/// `1 stream`, `2 streams`.
#[must_use]
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Lines of a log that were held back before the one that says so; shown after it, and as nothing where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldBack(pub u64);

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({} like this held back)", counted(count, "line")),
        }
    }
}

/// Mean of the squares; 0 where there is nothing.
#[must_use]
pub fn mean_square(xs: &[f32]) -> f64 {
    xs.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / xs.len().max(1) as f64
}

/// Root of the mean square.
#[must_use]
pub fn rms(xs: &[f32]) -> f64 {
    mean_square(xs).sqrt()
}

/// A power in dB relative to 1; -120 for silence.
#[must_use]
pub fn decibels(power: f64) -> f64 {
    10.0 * power.max(1e-12).log10()
}

/// Level of a block of samples in dB relative to full scale: 20·log10(RMS); -120 for silence.
#[must_use]
pub fn level_dbfs(samples: &[f32]) -> f32 {
    decibels(mean_square(samples)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_known_signals() {
        assert!((level_dbfs(&[1.0, -1.0, 1.0, -1.0]) - 0.0).abs() < 1e-5);
        assert!((level_dbfs(&[0.1; 64]) + 20.0).abs() < 1e-4);
        assert!((level_dbfs(&[0.0; 64]) + 120.0).abs() < 1e-4);
    }

    #[test]
    fn samples_beyond_the_bound_are_invalid() {
        assert!([0.0, -1.0, 3.0, -LARGEST_SAMPLE].into_iter().all(is_valid_sample));
        let invalid = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e5, -1e25, f32::MAX];
        assert!(!invalid.into_iter().any(is_valid_sample));
    }

    #[test]
    fn seconds_and_samples_round_trip() {
        for seconds in [0.0, 0.01, 1.5, 3600.0] {
            assert!((samples_to_seconds(seconds_to_samples(seconds)) - seconds).abs() < 1e-4);
        }
        assert_eq!(seconds_to_samples(-1.0), 0);
        assert_eq!(seconds_to_frames(0.2), 20);
        assert_eq!(frame_end(0), 160);
    }
}
