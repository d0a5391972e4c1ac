//! Augmentation of the sound behind contexts: other voices, rooms, noises and microphones.
//!
//! Kharitonov et al., *Data augmenting contrastive learning of speech representations in the time domain* (arXiv
//! 2007.00991): pitch, reverberation, additive noise, band rejection and time dropout of the past alone. Everything keeps
//! its place in time: frame t of the changed sound is about what frame t of the true one is about.

use super::biquad::Biquad;
use super::checkpointable_rng::CheckpointableRng;
use crate::config::Augment;
use crate::units::{MODEL_RATE, rms};

/// Response of a microphone: three bells.
pub(super) type Microphone = [Biquad; 3];

/// A microphone with gains and cuts of up to `most_db`.
pub(super) fn microphone(rng: &mut CheckpointableRng, most_db: f32) -> Option<Microphone> {
    let mut bell = |low: f32, high: f32| {
        let hz = low * (high / low).powf(rng.between((0.0, 1.0)));
        Biquad::bell(hz, rng.between((0.4, 1.2)), rng.between((-most_db, most_db)))
    };
    (most_db > 0.0).then(|| [bell(60.0, 400.0), bell(400.0, 2000.0), bell(2000.0, 7000.0)])
}

/// Changes a window in place; `other` is a window of another recording, for noise beneath.
pub(super) fn change(window: &mut Vec<f32>, other: &[f32], settings: &Augment, rng: &mut CheckpointableRng) {
    if rng.chance(settings.pitch) {
        let cents = rng.between((-settings.pitch_cents, settings.pitch_cents));
        *window = shift_pitch(window, 2f32.powf(cents / 1200.0));
    }
    if rng.chance(settings.reverb) {
        reverberate(window, rng.between((0.05, settings.reverb_s)), rng);
    }
    if rng.chance(settings.noise) {
        let ratio = 10f32.powf(-rng.between(settings.noise_snr_db) / 20.0);
        let gain = ratio * audible_rms(window) / audible_rms(other);
        window.iter_mut().zip(other).for_each(|(x, y)| *x += gain * y);
    }
    if rng.chance(settings.band_reject) {
        let hz = 100.0 * 60f32.powf(rng.between((0.0, 1.0)));
        Biquad::notch(hz, rng.between((0.7, 3.0))).run(window);
    }
    if rng.chance(settings.dropout) {
        let length = (rng.between((5.0, settings.dropout_ms.max(5.0))) * MODEL_RATE as f32 / 1000.0) as usize;
        let start = rng.below(window.len().saturating_sub(length));
        window.iter_mut().skip(start).take(length).for_each(|x| *x = 0.0);
    }
    if rng.chance(settings.clip) {
        let peak = window.iter().fold(0f32, |m, x| m.max(x.abs()));
        let limit = peak * rng.between((0.2, 0.8));
        window.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
    }
    window.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
}

/// Root of the mean square, of silence 1e-5.
fn audible_rms(samples: &[f32]) -> f32 {
    rms(samples).max(1e-5) as f32
}

/// Samples of a grain: 40 ms.
const GRAIN: usize = 640;

/// The sound at `ratio` times its pitch and its own speed: two taps of a delay line that runs at the new pitch,
/// cross-faded where one jumps (a delay of at most one grain).
fn shift_pitch(samples: &[f32], ratio: f32) -> Vec<f32> {
    let drift = 1.0 - ratio;
    let grain = GRAIN as f32;
    let at = |position: f32| {
        let (whole, part) = (position.floor(), position - position.floor());
        let get = |i: f32| if i < 0.0 { 0.0 } else { samples.get(i as usize).copied().unwrap_or(0.0) };
        get(whole) * (1.0 - part) + get(whole + 1.0) * part
    };
    (0..samples.len())
        .map(|n| {
            let n = n as f32;
            let first = (n * drift).rem_euclid(grain);
            let second = (first + grain / 2.0).rem_euclid(grain);
            let fade = (std::f32::consts::PI * first / grain).sin().powi(2);
            fade * at(n - first) + (1.0 - fade) * at(n - second)
        })
        .collect()
}

/// Reverberation that falls by 60 dB in `seconds`: sparse early echoes, then a dense tail by comb filters.
fn reverberate(samples: &mut [f32], seconds: f32, rng: &mut CheckpointableRng) {
    let wet = rng.between((0.1, 0.5));
    let mut tail = vec![0f32; samples.len()];
    for _ in 0..4 {
        // lengths of 8 to 40 ms whose echoes do not fall together
        let delay = 128 + rng.below(512);
        let feedback = 10f32.powf(-3.0 * delay as f32 / (seconds * MODEL_RATE as f32));
        let mut line = vec![0f32; delay];
        for (n, (x, y)) in samples.iter().zip(tail.iter_mut()).enumerate() {
            if let Some(slot) = line.get_mut(n % delay) {
                let echo = *slot;
                *slot = x + feedback * echo;
                *y += 0.25 * echo;
            }
        }
    }
    let before = audible_rms(samples);
    samples.iter_mut().zip(&tail).for_each(|(x, y)| *x = (1.0 - wet) * *x + wet * y);
    let level = before / audible_rms(samples);
    samples.iter_mut().for_each(|x| *x *= level);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tone(hz: f32, length: usize) -> Vec<f32> {
        (0..length).map(|i| 0.3 * (std::f32::consts::TAU * hz * i as f32 / 16_000.0).sin()).collect()
    }

    /// Rising zero crossings a second.
    fn pitch(samples: &[f32]) -> f32 {
        let crossings = samples.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        crossings as f32 * 16_000.0 / samples.len() as f32
    }

    #[test]
    fn pitch_moves_and_time_does_not() {
        let shifted = shift_pitch(&tone(440.0, 16_000), 1.19);
        assert_eq!(shifted.len(), 16_000);
        let found = pitch(&shifted[2000..]);
        assert!((found / 440.0 - 1.19).abs() < 0.06, "{found} Hz");
        // a burst stays where it is, but for a grain
        let mut burst = vec![0f32; 8000];
        burst[4000..4800].copy_from_slice(&tone(900.0, 800));
        let energy = |xs: &[f32], from: usize, to: usize| xs[from..to].iter().map(|x| x * x).sum::<f32>();
        let moved = shift_pitch(&burst, 0.84);
        assert!(energy(&moved, 3999, 4800 + GRAIN) > 0.99 * energy(&moved, 0, 8000));
    }

    #[test]
    fn a_room_rings_on_after_the_sound() {
        let mut samples = tone(500.0, 16_000);
        samples[8000..].fill(0.0);
        reverberate(&mut samples, 0.4, &mut CheckpointableRng::new(1, 0));
        let level = |from: usize| rms(&samples[from..from + 400]);
        assert!(level(8000) > 3.0 * level(12_000), "{} {}", level(8000), level(12_000));
        assert!(level(8400) > 1e-4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_is_done_stays_finite_and_in_range(seed: u64, quiet: bool) {
            let every = Augment { pitch: 1.0, reverb: 1.0, noise: 1.0, band_reject: 1.0, dropout: 1.0, clip: 1.0, ..Augment::default() };
            let mut window = if quiet { vec![0.0; 4000] } else { tone(300.0, 4000) };
            let mut rng = CheckpointableRng::new(seed, 0);
            change(&mut window, &tone(800.0, 4000), &every, &mut rng);
            prop_assert_eq!(window.len(), 4000);
            prop_assert!(window.iter().all(|x| x.is_finite() && x.abs() <= 1.0));
            for filter in microphone(&mut rng, 24.0).unwrap() {
                filter.run(&mut window);
            }
            prop_assert!(window.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn nothing_asked_for_nothing_done() {
        let mut window = tone(300.0, 4000);
        change(&mut window, &tone(800.0, 4000), &Augment::none(), &mut CheckpointableRng::new(3, 0));
        assert_eq!(window, tone(300.0, 4000));
        assert!(microphone(&mut CheckpointableRng::new(3, 0), 0.0).is_none());
    }
}
