//! Controls, changes that are no event: their times and their sound.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::family::ControlKind;
use super::filter::Biquad;
use super::playback::ramp;
use super::recipe::Control;
use crate::units::{MODEL_RATE, samples_to_seconds, seconds_to_samples};

/// Two recordings overlap by this much.
const FADE_S: f64 = 0.5;
/// A second recording stays for this long, and is at most this much louder or fainter.
const SECOND_S: (f64, f64) = (4.0, 6.0);
const SECOND_DB: f32 = 2.0;
/// Length of a swell, of a change of the weather, of a change of the microphone's colour.
const SWELL_S: (f64, f64) = (3.0, 10.0);
const WEATHER_S: (f64, f64) = (20.0, 40.0);
const COLOUR_S: f64 = 0.3;
/// Size of the changes of colour, dB.
const WEATHER_DB: (f64, f64) = (3.0, 6.0);
const COLOUR_DB: (f64, f64) = (2.0, 4.0);
/// Level of the whole stream.
const GAIN_DB: (f32, f32) = (-10.0, 6.0);

/// Controls in turn, one at each of the times `at_s`; one that lasts longer takes the place of those that follow.
pub(super) fn plan(
    rng: &mut ChaCha8Rng,
    at_s: &[f64],
    kinds: &[ControlKind],
    seconds: f64,
    slot_s: f64,
) -> Vec<Control> {
    let (mut out, mut free_from, mut turn) = (Vec::new(), 0.0, 0);
    for &onset_s in at_s {
        let Some(&kind) = kinds.get(turn % kinds.len().max(1)) else { break };
        if onset_s < free_from {
            continue;
        }
        let length_s = match kind {
            ControlKind::Join | ControlKind::GainStep => 0.0,
            ControlKind::Swell => {
                rng.random_range(SWELL_S.0..(0.65 * slot_s).clamp(SWELL_S.0 + 0.1, SWELL_S.1))
            }
            ControlKind::SecondClip => rng.random_range(SECOND_S.0..SECOND_S.1),
            ControlKind::Weather => rng.random_range(WEATHER_S.0..WEATHER_S.1),
            ControlKind::MicrophoneColour => COLOUR_S,
        };
        turn += 1;
        if onset_s + length_s < seconds {
            free_from = onset_s + length_s;
            out.push(Control { kind, onset_s, offset_s: onset_s + length_s });
        }
    }
    out
}

/// Puts `second` in the place of the background during `control`, cross-faded at both ends. A shorter recording ends the
/// control earlier.
pub(super) fn replace(rng: &mut ChaCha8Rng, samples: &mut [f32], second: &[f32], control: &mut Control) {
    let fade = seconds_to_samples(FADE_S) as usize;
    let wanted = seconds_to_samples(control.offset_s - control.onset_s) as usize;
    let length = wanted.min(second.len());
    let from = rng.random_range(0..=second.len() - length);
    let at = seconds_to_samples(control.onset_s) as usize;
    let gain = 10f32.powf(rng.random_range(-SECOND_DB..SECOND_DB) / 20.0);
    for (i, (to, new)) in samples.iter_mut().skip(at).zip(second.iter().skip(from).take(length)).enumerate() {
        let here = ramp(i, fade).min(ramp(length - 1 - i, fade));
        *to = *to * (1.0 - here * here).sqrt() + gain * new * here;
    }
    control.offset_s = control.onset_s + samples_to_seconds(length as u64);
}

/// Applies the microphone to `samples`: a level of its own, gain steps and swells of `step_db`, colours.
pub(super) fn microphone(rng: &mut ChaCha8Rng, samples: &mut [f32], controls: &[Control], step_db: f32) {
    for (kind, sizes) in [(ControlKind::Weather, WEATHER_DB), (ControlKind::MicrophoneColour, COLOUR_DB)] {
        let own: Vec<&Control> = controls.iter().filter(|c| c.kind == kind).collect();
        if !own.is_empty() {
            colour(samples, filters(rng, sizes), &own);
        }
    }
    let gain = 10f32.powf(rng.random_range(GAIN_DB.0..GAIN_DB.1) / 20.0);
    samples.iter_mut().for_each(|x| *x *= gain);
    let mut up = rng.random::<bool>();
    let mut stepped_db = 0f32;
    for control in controls {
        let from = seconds_to_samples(control.onset_s) as usize;
        let until = seconds_to_samples(control.offset_s) as usize;
        match control.kind {
            ControlKind::GainStep => {
                // up and down again, so that the level does not run away
                let db = if stepped_db == 0.0 { if up { step_db } else { -step_db } } else { -stepped_db };
                (up, stepped_db) = (!up, stepped_db + db);
                let gain = 10f32.powf(db / 20.0);
                samples.iter_mut().skip(from).for_each(|x| *x *= gain);
            }
            ControlKind::Swell => {
                let db = if rng.random::<bool>() { step_db } else { -step_db };
                let length = until.saturating_sub(from).max(1) as f32;
                for (i, x) in samples.iter_mut().skip(from).take(until - from).enumerate() {
                    let rise = (std::f32::consts::PI * i as f32 / length).sin().powi(2);
                    *x *= 10f32.powf(db * rise / 20.0);
                }
            }
            _ => {}
        }
    }
    samples.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
}

/// A tilt of the spectrum.
fn filters(rng: &mut ChaCha8Rng, sizes: (f64, f64)) -> [Biquad; 2] {
    let mut db = || if rng.random::<bool>() { 1.0 } else { -1.0 } * rng.random_range(sizes.0..sizes.1);
    let (low, high) = (db(), db());
    [
        Biquad::low_shelf(rng.random_range(200.0..600.0), low / 2.0),
        Biquad::high_shelf(rng.random_range(1000.0..3000.0), high),
    ]
}

/// Mixes the filtered sound in during the first control, out again during the second, and so on.
fn colour(samples: &mut [f32], [mut low, mut high]: [Biquad; 2], controls: &[&Control]) {
    let rate = f64::from(MODEL_RATE);
    let (mut next, mut share) = (0, 0f64);
    for (i, x) in samples.iter_mut().enumerate() {
        let filtered = high.step(low.step(*x));
        if let Some(control) = controls.get(next) {
            let at_s = i as f64 / rate;
            let done = ((at_s - control.onset_s) / (control.offset_s - control.onset_s)).clamp(0.0, 1.0);
            share = if next % 2 == 0 { done } else { 1.0 - done };
            next += usize::from(done >= 1.0);
        }
        *x += share as f32 * (filtered - *x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::level_dbfs;
    use rand::SeedableRng;

    const RATE: usize = MODEL_RATE as usize;

    fn control(kind: ControlKind, onset_s: f64, offset_s: f64) -> Control {
        Control { kind, onset_s, offset_s }
    }

    fn noise(seconds: usize) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        (0..seconds * RATE).map(|_| rng.random_range(-0.05..0.05)).collect()
    }

    fn through(controls: &[Control], seconds: usize) -> (Vec<f32>, Vec<f32>) {
        let (before, mut after) = (noise(seconds), noise(seconds));
        microphone(&mut ChaCha8Rng::seed_from_u64(3), &mut after, controls, 6.0);
        (before, after)
    }

    /// Change of the level at `at_s` beside the first second.
    fn change_db((before, after): &(Vec<f32>, Vec<f32>), at_s: f64) -> f32 {
        let level = |xs: &[f32], at: usize| level_dbfs(&xs[at..at + RATE / 2]);
        let at = (at_s * RATE as f64) as usize;
        level(after, at) - level(before, at) - (level(after, 0) - level(before, 0))
    }

    #[test]
    fn gain_steps_stay_and_swells_return() {
        let steps = [control(ControlKind::GainStep, 4.0, 4.0), control(ControlKind::GainStep, 8.0, 8.0)];
        let sounds = through(&steps, 12);
        assert!((change_db(&sounds, 6.0).abs() - 6.0).abs() < 0.1, "{}", change_db(&sounds, 6.0));
        assert!(change_db(&sounds, 10.0).abs() < 0.1);
        let sounds = through(&[control(ControlKind::Swell, 4.0, 8.0)], 12);
        assert!((change_db(&sounds, 5.75).abs() - 6.0).abs() < 0.3, "{}", change_db(&sounds, 5.75));
        assert!(change_db(&sounds, 10.0).abs() < 0.1);
    }

    #[test]
    fn a_colour_changes_bands_and_stays_until_the_next_one() {
        let kind = ControlKind::MicrophoneColour;
        let controls = [control(kind, 2.0, 2.3), control(kind, 6.0, 6.3)];
        let (before, after) = through(&controls, 10);
        let treble = |xs: &[f32], at: usize| {
            let filtered = Biquad::band_pass(5000.0, 1.0).run(&xs[at * RATE..(at + 2) * RATE]);
            level_dbfs(&filtered)
                - level_dbfs(&Biquad::band_pass(700.0, 1.0).run(&xs[at * RATE..(at + 2) * RATE]))
        };
        let change = |at: usize| treble(&after, at) - treble(&before, at);
        assert!(change(0).abs() < 0.1 && change(3).abs() > 0.8, "{} {}", change(0), change(3));
        assert!(change(8).abs() < 0.2, "{}", change(8));
    }

    #[test]
    fn controls_come_in_turn_and_do_not_touch() {
        let at: Vec<f64> = (0..20).map(|i| 60.0 + 10.0 * f64::from(i)).collect();
        let kinds = [ControlKind::GainStep, ControlKind::Weather, ControlKind::Swell];
        let all = plan(&mut ChaCha8Rng::seed_from_u64(1), &at, &kinds, 260.0, 10.0);
        assert!(all.windows(2).all(|w| w[0].offset_s <= w[1].onset_s));
        assert!(kinds.iter().all(|kind| all.iter().any(|c| c.kind == *kind)));
        let long = all.iter().filter(|c| c.kind == ControlKind::Weather);
        assert!(long.into_iter().all(|c| c.offset_s - c.onset_s >= 20.0));
    }
}
