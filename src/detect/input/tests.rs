use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::InputState::{Clipping, Faint, Good, Invalid, Offset, Silent, Stuck};
use super::*;

/// Uniform noise of an RMS of `dbfs` about `mean`, cut off at full scale.
fn noise(dbfs: f64, mean: f64) -> impl FnMut() -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let peak = 10f64.powf(dbfs / 20.0) * 3f64.sqrt();
    move || {
        let mut sample = || (mean + peak * (2.0 * rng.random::<f64>() - 1.0)).clamp(-1.0, 1.0) as f32;
        (0..HOP).map(|_| sample()).collect()
    }
}

fn constant(x: f32) -> impl FnMut() -> Vec<f32> {
    move || vec![x; HOP]
}

/// Pushes `hops` of `sound`; gives each new state and at which hop, from 1, it came.
fn listen(
    monitor: &mut InputMonitor,
    mut sound: impl FnMut() -> Vec<f32>,
    hops: usize,
) -> Vec<(usize, InputState)> {
    let mut state = monitor.state();
    let mut changes = Vec::new();
    for hop in 1..=hops {
        let new = monitor.push(&sound());
        if new != state {
            changes.push((hop, new));
            state = new;
        }
    }
    changes
}

#[test]
fn a_microphone_that_dies_and_comes_back() {
    let mut monitor = InputMonitor::new();
    assert_eq!(listen(&mut monitor, noise(-50.0, 0.0), 300), []);
    assert_eq!(listen(&mut monitor, constant(0.0), 500), [(11, Silent)]);
    assert!(!monitor.usable());
    assert_eq!(listen(&mut monitor, noise(-50.0, 0.0), 3000), [(100, Good)]);
    assert_eq!(listen(&mut monitor, constant(0.3), 50), [(11, Stuck)]);
    assert_eq!(listen(&mut monitor, constant(0.0), 50), [(1, Silent)]);
    assert_eq!(listen(&mut monitor, constant(0.3), 150), [(100, Stuck)]);
    assert_eq!(listen(&mut monitor, noise(-80.0, 0.0), 3000), [(100, Good)]);
    let counts = monitor.counts();
    assert_eq!((counts.silent, counts.stuck), (490 + 99 + 50 + 99, 40 + 51 + 99));
    assert_eq!(counts.total(), 300 + 500 + 3000 + 50 + 50 + 150 + 3000);
}

#[test]
fn a_tenth_of_a_second_of_silence_is_nothing() {
    let mut monitor = InputMonitor::new();
    for _ in 0..20 {
        assert_eq!(listen(&mut monitor, noise(-60.0, 0.0), 20), []);
        assert_eq!(listen(&mut monitor, constant(0.0), 10), []);
    }
}

#[test]
fn levels_about_the_thresholds() {
    for (dbfs, changes) in [
        (-118.0, vec![(11, Silent)]),
        (-112.0, vec![(1000, Faint)]),
        (-86.0, vec![(1000, Faint)]),
        (-84.0, vec![]),
        (-10.0, vec![]),
    ] {
        let mut monitor = InputMonitor::new();
        assert_eq!(listen(&mut monitor, noise(dbfs, 0.0), 3000), changes, "{dbfs} dBFS");
        assert_eq!(monitor.usable(), dbfs > -115.0);
    }
}

#[test]
fn hiss_on_an_offset_is_faint_and_ends_with_the_first_sound() {
    let mut monitor = InputMonitor::new();
    assert_eq!(listen(&mut monitor, noise(-90.0, 0.02), 1500), [(1000, Faint)]);
    assert_eq!(listen(&mut monitor, noise(-50.0, 0.02), 1500), [(199, Good)]);
}

#[test]
fn clipping_is_one_sample_in_a_hundred() {
    let mut monitor = InputMonitor::new();
    let clipped = |samples: usize| {
        let mut sound = noise(-30.0, 0.0);
        move || {
            let mut hop = sound();
            hop.iter_mut().step_by(20).take(samples).for_each(|x| *x = -1.0);
            hop
        }
    };
    assert_eq!(listen(&mut monitor, clipped(1), 1000), []);
    assert_eq!(listen(&mut monitor, clipped(2), 1000), [(60, Clipping)]);
    assert!(monitor.usable());
    let changes = listen(&mut monitor, noise(-30.0, 0.0), 1000);
    assert_eq!(changes, [(120, Good)]);
}

#[test]
fn an_offset_must_be_large_and_larger_than_half_of_the_sound() {
    for (dbfs, mean, changes) in [
        (-40.0, 0.06, vec![(100, Offset)]),
        (-40.0, 0.04, vec![]),
        (-15.0, 0.06, vec![]),
        (-40.0, -0.5, vec![(100, Offset)]),
    ] {
        let mut monitor = InputMonitor::new();
        assert_eq!(listen(&mut monitor, noise(dbfs, mean), 500), changes, "{mean} under {dbfs} dBFS");
        assert!(monitor.usable());
    }
}

#[test]
fn what_is_not_a_number_is_reported_at_once_and_for_a_second() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut monitor = InputMonitor::new();
        listen(&mut monitor, noise(-30.0, 0.0), 100);
        let mut hop = noise(-30.0, 0.0)();
        hop[159] = bad;
        assert_eq!(monitor.push(&hop), Invalid);
        assert!(!monitor.usable());
        assert_eq!(listen(&mut monitor, noise(-30.0, 0.0), 300), [(100, Good)]);
        assert_eq!(monitor.counts().invalid, 100);
        assert_eq!(monitor.push(&[]), Good);
        assert_eq!(monitor.counts().total(), 401);
    }
}

#[test]
fn a_contact_that_comes_and_goes_does_not_flap() {
    let mut monitor = InputMonitor::new();
    listen(&mut monitor, constant(0.0), 20);
    for _ in 0..20 {
        assert_eq!(listen(&mut monitor, noise(-40.0, 0.0), 80), []);
        assert_eq!(listen(&mut monitor, constant(0.0), 20), []);
    }
    assert_eq!(monitor.state(), Silent);
}

#[test]
fn names_are_snake_case() {
    let names = serde_json::to_string(&[Good, Faint, Offset, Clipping, Stuck, Silent, Invalid]).unwrap();
    assert_eq!(names, r#"["good","faint","offset","clipping","stuck","silent","invalid"]"#);
    let counts = serde_json::to_value(InputMonitor::new().counts()).unwrap();
    assert_eq!(counts["clipping"], 0);
}

proptest! {
    /// Whatever comes: no panic, no allocation, each hop counted, and no state left within a second.
    #[test]
    fn any_input_keeps_the_rules(runs in prop::collection::vec((0..6usize, 1..400usize), 1..12)) {
        let mut monitor = InputMonitor::new();
        let room = (monitor.second.capacity(), monitor.seconds.capacity());
        let mut sound = noise(-40.0, 0.0);
        let (mut hops, mut since) = (0, usize::MAX);
        for (kind, length) in runs {
            for _ in 0..length {
                let hop = match kind {
                    0 => vec![0.0; HOP],
                    1 => vec![1.0; HOP],
                    2 => vec![f32::NAN; HOP],
                    3 => vec![f32::MAX; HOP],
                    4 => sound().iter().map(|x| x + 0.2).collect(),
                    _ => sound(),
                };
                let before = monitor.state();
                let after = monitor.push(&hop);
                hops += 1;
                if after < before {
                    prop_assert!(since >= 99);
                }
                since = if after == before { since.saturating_add(1) } else { 0 };
            }
        }
        prop_assert_eq!(monitor.counts().total(), hops);
        prop_assert_eq!((monitor.second.capacity(), monitor.seconds.capacity()), room);
    }
}
