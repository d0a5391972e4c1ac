//! Rhythms of synthetic machines: beats in noise, with jitter, missing, early and late ones.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Log-mel bands of noise at −6 ± 0.6 with a beat at each of `beats` (seconds): `rise` in the bands from `low` up, falling
/// within 80 ms.
fn bands(seconds: f64, beats: &[f64], (low, rise): (usize, f32), seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let frames = (seconds * 100.0) as usize;
    let mut out: Vec<f32> = (0..frames * BANDS).map(|_| -6.0 + rng.random_range(-1.0..1.0f32)).collect();
    for beat in beats {
        let at = (beat * 100.0).round() as usize;
        for (age, frame) in out.chunks_exact_mut(BANDS).skip(at).take(24).enumerate() {
            let power = rise * (-(age as f32) / 8.0).exp();
            frame.iter_mut().skip(low).take(24).for_each(|band| *band += power);
        }
    }
    out
}

/// Times of beats every `period` seconds, each off by at most `jitter` seconds.
fn regular(seconds: f64, period: f64, jitter: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 99);
    let off = |rng: &mut ChaCha8Rng| if jitter > 0.0 { rng.random_range(-jitter..jitter) } else { 0.0 };
    (1..=(seconds / period) as usize).map(|n| n as f64 * period + off(&mut rng)).collect()
}

/// All faults, each with the time at which it was found.
fn faults(rhythm: &Rhythm, bands: &[f32]) -> Vec<(f64, BeatFault)> {
    let mut tracker = BeatTracker::new(rhythm);
    let frames = bands.chunks_exact(BANDS).enumerate();
    frames.filter_map(|(i, frame)| Some((i as f64 / 100.0, tracker.push(frame, i as u64)?))).collect()
}

const LOUD: (usize, f32) = (20, 4.0);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_period_of_beats_with_jitter_is_found_within_two_percent(
        period in 0.25f64..3.5, jitter in 0.0f64..0.03, low in 0usize..40, rise in 3.0f32..6.0, seed in 0u64..1000,
    ) {
        let times = regular(120.0, period, jitter * period, seed);
        let rhythm = Rhythm::fit(&bands(120.0, &times, (low, rise), seed), &[]);
        let rhythm = rhythm.expect("a rhythm");
        prop_assert!((rhythm.period_s / period - 1.0).abs() < 0.02, "{} for {period}", rhythm.period_s);
        prop_assert!(rhythm.is_whole() && rhythm.strength >= 0.25);
    }

    #[test]
    fn a_missing_beat_is_found_with_its_due_time(
        period in 0.3f64..2.0, jitter in 0.0f64..0.02, which in 0.2f64..0.9, seed in 0u64..1000,
    ) {
        let normal = bands(90.0, &regular(90.0, period, jitter * period, seed), LOUD, seed);
        let rhythm = Rhythm::fit(&normal, &[]).expect("a rhythm");
        let mut times = regular(60.0, period, jitter * period, seed + 1);
        let gone = (which * times.len() as f64) as usize;
        let due = (gone + 1) as f64 * period;
        times.remove(gone);
        let found = faults(&rhythm, &bands(60.0, &times, LOUD, seed + 1));
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        let (at, fault) = found[0];
        let BeatFault::Missing { due_s } = fault else { panic!("{fault:?}") };
        prop_assert!((due_s - due).abs() < 0.05 + 2.0 * jitter * period, "{due_s} for {due}");
        prop_assert!(at - due_s < rhythm.tolerance_s + 0.06, "found at {at}");
    }

    #[test]
    fn sound_without_a_rhythm_has_none(seed in 0u64..10_000, seconds in 20.0f64..120.0, every in 0.3f64..3.0) {
        prop_assert_eq!(Rhythm::fit(&bands(seconds, &[], LOUD, seed), &[]), None);
        // loud sounds at random times
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let times: Vec<f64> = (0..(seconds / every) as usize).map(|_| rng.random_range(0.0..seconds)).collect();
        prop_assert_eq!(Rhythm::fit(&bands(seconds, &times, LOUD, seed), &[]), None);
    }

    #[test]
    fn the_tracker_is_a_function_of_the_frames(seed in 0u64..1000, cut in 100usize..2900) {
        let normal = bands(60.0, &regular(60.0, 0.8, 0.01, seed), LOUD, seed);
        let rhythm = Rhythm::fit(&normal, &[]).expect("a rhythm");
        let rhythm: Rhythm = serde_json::from_str(&serde_json::to_string(&rhythm).unwrap()).unwrap();
        let mut times = regular(30.0, 0.8, 0.01, seed + 1);
        times.retain(|time| !(11.0..12.5).contains(time));
        let sound = bands(30.0, &times, LOUD, seed + 1);
        let mut one = BeatTracker::new(&rhythm);
        let push = |tracker: &mut BeatTracker, range: std::ops::Range<usize>| -> Vec<Option<BeatFault>> {
            range.map(|i| tracker.push(&sound[i * BANDS..][..BANDS], i as u64)).collect()
        };
        let whole = push(&mut one, 0..3000);
        let mut first = BeatTracker::new(&rhythm);
        let mut pieces = push(&mut first, 0..cut);
        let mut second = first.clone();
        pieces.extend(push(&mut second, cut..3000));
        prop_assert_eq!(whole, pieces);
    }
}

fn press() -> Rhythm {
    Rhythm::fit(&bands(60.0, &regular(60.0, 0.8, 0.01, 5), LOUD, 5), &[]).unwrap()
}

#[test]
fn a_beat_that_is_early_or_late_is_reported_with_its_offset() {
    let rhythm = press();
    for (offset, keeps_time) in [(-0.2, true), (-0.2, false), (0.2, true), (0.2, false)] {
        let mut times = regular(30.0, 0.8, 0.0, 6);
        let due = times[20];
        times[20] += offset;
        if !keeps_time {
            times.iter_mut().skip(21).for_each(|time| *time += offset);
        }
        let found: Vec<BeatFault> =
            faults(&rhythm, &bands(30.0, &times, LOUD, 6)).iter().map(|f| f.1).collect();
        let last = *found.last().unwrap();
        let (BeatFault::Early { due_s, offset_ms } | BeatFault::Late { due_s, offset_ms }) = last else {
            panic!("{offset}: {found:?}")
        };
        assert_eq!(matches!(last, BeatFault::Early { .. }), offset < 0.0, "{found:?}");
        assert!(
            (due_s - due).abs() < 0.05 && (offset_ms - 1000.0 * offset).abs() < 40.0,
            "{offset}: {found:?}"
        );
        // one that is late is missing until it comes
        assert_eq!(found.len(), if offset < 0.0 { 1 } else { 2 }, "{found:?}");
    }
}

#[test]
fn a_stop_is_three_missing_beats_and_a_return_is_followed_again() {
    let rhythm = press();
    let mut times = regular(60.0, 0.8, 0.01, 7);
    times.retain(|time| !(20.0..40.0).contains(time) && !(50.0..50.9).contains(time));
    let sound = bands(60.0, &times, LOUD, 7);
    let found = faults(&rhythm, &sound);
    let missing = |f: &(f64, BeatFault)| matches!(f.1, BeatFault::Missing { .. });
    assert!(found.len() == 4 && found.iter().all(missing), "{found:?}");
    assert!(found[2].0 < 22.6 && (50.0..51.5).contains(&found[3].0), "{found:?}");
    let mut tracker = BeatTracker::new(&rhythm);
    for (i, frame) in sound.chunks_exact(BANDS).enumerate().take(3000) {
        tracker.push(frame, i as u64);
    }
    assert_eq!((tracker.missed_in_a_row(), tracker.due_s(), tracker.tempo_percent()), (3, None, None));
}

#[test]
fn another_tempo_is_followed_and_reported() {
    let rhythm = press();
    let slower = regular(40.0, 0.8 * 1.06, 0.0, 8);
    let mut tracker = BeatTracker::new(&rhythm);
    for (i, frame) in bands(40.0, &slower, LOUD, 8).chunks_exact(BANDS).enumerate() {
        tracker.push(frame, i as u64);
    }
    let tempo = tracker.tempo_percent().unwrap();
    assert!((tempo + 5.7).abs() < 1.0, "{tempo}");
    assert!((tracker.due_s().unwrap() - 40.0).abs() < 0.9);
}

#[test]
fn two_sounds_a_cycle_are_one_rhythm() {
    let mut times = regular(60.0, 1.0, 0.0, 9);
    times.extend(regular(60.0, 1.0, 0.0, 9).iter().map(|time| time + 0.35).collect::<Vec<_>>());
    let rhythm = Rhythm::fit(&bands(60.0, &times, LOUD, 9), &[]).unwrap();
    assert!((rhythm.period_s - 1.0).abs() < 0.02, "{}", rhythm.period_s);
    assert_eq!(faults(&rhythm, &bands(60.0, &times, LOUD, 10)), []);
    times.retain(|time| (time - 30.0).abs() > 0.1 && (time - 45.35).abs() > 0.1);
    let found = faults(&rhythm, &bands(60.0, &times, LOUD, 10));
    // of the two sounds one is followed
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0].1, BeatFault::Missing { .. }));
}

#[test]
fn gaps_in_calibration_are_no_beats() {
    let times = regular(60.0, 0.7, 0.0, 11);
    let whole = bands(60.0, &times, LOUD, 11);
    // 0.5 s are missing in the middle
    let cut = [&whole[..3000 * BANDS], &whole[3050 * BANDS..]].concat();
    let rhythm = Rhythm::fit(&cut, &[0, 3000]).unwrap();
    assert!((rhythm.period_s - 0.7).abs() < 0.014);
    assert_eq!(Rhythm::fit(&whole[..100 * BANDS], &[]), None, "a second is too short");
}
