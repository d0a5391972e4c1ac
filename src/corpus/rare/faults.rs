//! Faults of a machine, made of its own sound.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::cut::fade;
use super::family::AnomalyKind;
use super::filter::{Biquad, with_rms};
use super::recipe::{Planted, SceneRecipe};
use crate::units::{MODEL_RATE, rms, samples_to_seconds, seconds_to_samples};

const RATE: f64 = MODEL_RATE as f64;
/// Length of a fault and of its fades, seconds.
const LENGTH_S: (f64, f64) = (1.0, 4.0);
const FADE_S: f64 = 0.03;
/// Change of the pitch.
const DETUNED: (f64, f64) = (0.02, 0.08);
/// Taps of the interpolation on either side.
const TAPS: isize = 12;

/// Faults of all kinds in turn, from the `first` on, at the times `at_s`, at the levels of `recipe` in turn. An added
/// sound has its level over the machine over its own length; a detuned machine keeps its level and has no ratio.
pub(super) fn plant_all(
    rng: &mut ChaCha8Rng,
    recipe: &SceneRecipe,
    samples: &mut [f32],
    at_s: &[f64],
    first: usize,
) -> Vec<Planted> {
    let kinds = AnomalyKind::FAULTS;
    let ratios = &recipe.fault_ratios_db;
    let mut planted = Vec::new();
    for (number, &at_s) in (first..).zip(at_s) {
        let kind = kinds[number % kinds.len()];
        // levels move on with each round of kinds, so that each kind has each level
        let ratio_db = ratios[(number + number / kinds.len()) % ratios.len()];
        planted.extend(plant(rng, samples, kind, ratio_db, at_s));
    }
    planted
}

fn plant(
    rng: &mut ChaCha8Rng,
    samples: &mut [f32],
    kind: AnomalyKind,
    ratio_db: f32,
    at_s: f64,
) -> Option<Planted> {
    let length = seconds_to_samples(rng.random_range(LENGTH_S.0..LENGTH_S.1)) as usize;
    let from = seconds_to_samples(at_s) as usize;
    let own = samples.get(from..from + length)?.to_vec();
    let level = rms(&own);
    let (mut change, label) = if kind == AnomalyKind::Detuning {
        let size = rng.random_range(DETUNED.0..DETUNED.1);
        let speed = 1.0 + if rng.random::<bool>() { size } else { -size };
        let new = with_rms(resampled(samples, from, length, speed), level);
        (new.iter().zip(&own).map(|(a, b)| a - b).collect(), format!("pitch {:+.1} %", 100.0 * (speed - 1.0)))
    } else {
        let (added, label) = addition(rng, kind, &own);
        (with_rms(added, level * 10f64.powf(f64::from(ratio_db) / 20.0)), label)
    };
    let edge = seconds_to_samples(FADE_S) as usize;
    fade(&mut change, edge, edge);
    samples.iter_mut().skip(from).zip(&change).for_each(|(to, d)| *to += d);
    let (onset_s, offset_s) = (samples_to_seconds(from as u64), samples_to_seconds((from + length) as u64));
    Some(Planted {
        kind,
        label,
        ratio_db: (kind != AnomalyKind::Detuning).then_some(ratio_db),
        onset_s,
        offset_s,
        known_from_s: onset_s,
        unclear_until_s: offset_s,
    })
}

/// The sound that a fault adds to the machine's `own` sound, at any level, and its description.
fn addition(rng: &mut ChaCha8Rng, kind: AnomalyKind, own: &[f32]) -> (Vec<f32>, String) {
    let wave = |hz: f64, phase: f64| move |i: usize| (TAU * hz * i as f64 / RATE + phase).cos();
    let phase = rng.random_range(0.0..TAU);
    match kind {
        AnomalyKind::Rattle => {
            let (hz, rate) = (rng.random_range(800.0..4000.0), rng.random_range(6.0..20.0));
            let decay_s = rng.random_range(0.006..0.02);
            let band = Biquad::band_pass(hz, 2.0).run(own);
            let strike =
                |i: usize| (-((i as f64 / RATE + phase / rate) * rate).fract() / rate / decay_s).exp();
            let added = band.iter().enumerate().map(|(i, x)| x * strike(i) as f32).collect();
            (added, format!("{rate:.0} strikes a second around {hz:.0} Hz"))
        }
        AnomalyKind::Imbalance => {
            let turn = rng.random_range(2.0..12.0);
            let low = Biquad::low_pass(500.0).run(own);
            let wave = wave(turn, phase);
            let added = low.iter().enumerate().map(|(i, x)| x * wave(i) as f32).collect();
            (added, format!("{turn:.1} turns a second"))
        }
        AnomalyKind::DryBearing => {
            let (hz, balls) = (rng.random_range(3000.0..6000.0), rng.random_range(20.0..80.0));
            let mean = own.iter().map(|x| x.abs()).sum::<f32>() / own.len().max(1) as f32;
            // rectified, the machine's own sound has energy at all frequencies
            let drive: Vec<f32> = own.iter().map(|x| x.abs() - mean).collect();
            let steep: Vec<f32> = std::iter::once(0.0).chain(drive.windows(2).map(|w| w[1] - w[0])).collect();
            let wave = wave(balls, phase);
            let ring = Biquad::band_pass(hz, 15.0).run(&steep);
            let added = ring.iter().enumerate().map(|(i, x)| x * (1.0 + 0.7 * wave(i)) as f32).collect();
            (added, format!("resonance at {hz:.0} Hz"))
        }
        AnomalyKind::HarmonicTone => {
            let (hz, count) = (rng.random_range(150.0..1200.0), rng.random_range(3..6));
            let tones: Vec<_> =
                (1..=count).map(|n| (wave(hz * f64::from(n), phase * f64::from(n)), f64::from(n))).collect();
            let at = |i: usize| tones.iter().map(|(wave, n)| wave(i) / n).sum::<f64>() as f32;
            ((0..own.len()).map(at).collect(), format!("{count} harmonics of {hz:.0} Hz"))
        }
        _ => {
            let rate = rng.random_range(3.0..30.0);
            let wave = wave(rate, phase);
            let added = own.iter().enumerate().map(|(i, x)| x * wave(i) as f32).collect();
            (added, format!("modulated at {rate:.1} Hz"))
        }
    }
}

/// `length` samples of `sound` from `from` on, at `speed` times their speed, by a sinc with a Hann window.
fn resampled(sound: &[f32], from: usize, length: usize, speed: f64) -> Vec<f32> {
    // above the speed of the original, frequencies beyond half the rate are cut off
    let cut = (1.0 / speed).min(1.0);
    let at = |i: usize| {
        let place = from as f64 + i as f64 * speed;
        let centre = place.floor() as isize;
        let mut sum = 0.0;
        for k in centre - TAPS + 1..=centre + TAPS {
            let x = usize::try_from(k).ok().and_then(|k| sound.get(k)).copied().unwrap_or(0.0);
            let away = place - k as f64;
            let window = 0.5 + 0.5 * (std::f64::consts::PI * away / TAPS as f64).cos();
            let angle = std::f64::consts::PI * away * cut;
            let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
            sum += f64::from(x) * cut * sinc * window;
        }
        sum as f32
    };
    (0..length).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn machine(seconds: usize) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let noise = |rng: &mut ChaCha8Rng| rng.random_range(-0.05..0.05f32);
        (0..seconds * 16_000).map(|i| 0.05 * (i as f32 * 0.08).sin() + noise(&mut rng)).collect()
    }

    #[test]
    fn a_fault_has_its_level_over_the_machine() {
        for kind in AnomalyKind::FAULTS.into_iter().filter(|k| *k != AnomalyKind::Detuning) {
            for ratio_db in [0.0, -10.0f32] {
                let (before, mut after) = (machine(10), machine(10));
                let mut rng = ChaCha8Rng::seed_from_u64(2);
                let planted = plant(&mut rng, &mut after, kind, ratio_db, 3.0).unwrap();
                let at = |s: f64| seconds_to_samples(s) as usize;
                let inside = at(planted.onset_s)..at(planted.offset_s);
                let added: Vec<f32> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
                let level = 20.0 * (rms(&added[inside.clone()]) / rms(&before[inside.clone()])).log10();
                assert!((level - f64::from(ratio_db)).abs() < 0.7, "{kind}: {level} dB for {ratio_db}");
                let outside = added.iter().enumerate().filter(|(i, _)| !inside.contains(i));
                assert!(outside.into_iter().all(|(_, x)| *x == 0.0), "{kind} stays within its truth");
                assert!((1.0..4.0).contains(&(planted.offset_s - planted.onset_s)));
            }
        }
    }

    #[test]
    fn a_detuned_machine_keeps_its_level_and_changes_its_pitch() {
        let tone: Vec<f32> = (0..160_000).map(|i| 0.1 * (i as f32 * 0.2).sin()).collect();
        let mut after = tone.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let planted = plant(&mut rng, &mut after, AnomalyKind::Detuning, 0.0, 3.0).unwrap();
        let at = |s: f64| seconds_to_samples(s) as usize;
        let inside = &after[at(planted.onset_s) + 800..at(planted.offset_s) - 800];
        assert!((20.0 * (rms(inside) / rms(&tone)).log10()).abs() < 0.2);
        let crossings = |xs: &[f32]| xs.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count() as f64;
        let change = crossings(inside) / crossings(&tone[..inside.len()]) - 1.0;
        let reported: f64 =
            planted.label.trim_start_matches("pitch ").trim_end_matches(" %").parse().unwrap();
        assert!((100.0 * change - reported).abs() < 0.7, "{change} for {reported} %");
        assert!(planted.ratio_db.is_none() && (2.0..8.1).contains(&reported.abs()));
    }

    #[test]
    fn every_kind_comes_at_every_level() {
        let at: Vec<f64> = (0..18).map(|i| 5.0 * f64::from(i)).collect();
        let mut samples = machine(100);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let planted = plant_all(&mut rng, &SceneRecipe::default(), &mut samples, &at, 4);
        for kind in AnomalyKind::FAULTS {
            let mut levels: Vec<i32> = planted
                .iter()
                .filter(|p| p.kind == kind)
                .map(|p| p.ratio_db.map_or(99, |r| r as i32))
                .collect();
            levels.sort_unstable();
            let expected = if kind == AnomalyKind::Detuning { [99, 99, 99] } else { [-10, -5, 0] };
            assert_eq!(levels, expected, "{kind}");
        }
    }
}
