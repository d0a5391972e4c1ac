//! A press that works in time, and what goes wrong with it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::scene::{Planted, Scene};
use crate::event::Kind;
use crate::units::{MODEL_RATE, seconds_to_samples};

/// Seconds from stroke to stroke; thump and clack take turns.
const STROKE_S: f64 = 0.8;
/// Strokes are off by at most this, seconds.
const JITTER_S: f64 = 0.005;
/// How long an event may be about a stroke that was due, seconds.
const ABOUT_S: f64 = 1.0;
/// Seconds for which the drive runs at another pitch, and by how much.
const DETUNED_S: f64 = 5.0;
const DETUNED: f32 = 1.06;
/// Seconds from the stop to the end of the scene.
const STOPPED_S: f64 = 9.0;

/// The faults, one in each slot.
const FAULTS: [(&str, Kind); 6] = [
    ("stroke missing", Kind::Missing),
    ("stroke 180 ms early", Kind::Early),
    ("stroke 200 ms late", Kind::Late),
    ("strokes swapped", Kind::OutOfOrder),
    ("drive 6 % higher", Kind::Changed),
    ("press stops", Kind::Stopped),
];

/// One stroke of the schedule.
#[derive(Debug, Clone, Copy)]
struct Stroke {
    at_s: f64,
    clack: bool,
    received: bool,
}

impl Scene {
    /// `quiet_s` seconds of a press at work, then one fault after another, `spacing_s` apart: a stroke that is missing, early and
    /// late, two that are swapped, a drive at another pitch for 5 s, and a stop to the end. The same seed gives the same
    /// scene.
    #[must_use]
    pub fn press(quiet_s: f64, spacing_s: f64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x70_7265_7373);
        let total = quiet_s + spacing_s * FAULTS.len() as f64 + 2.0;
        let mut strokes = schedule(&mut rng, total);
        let (mut planted, mut detuned, mut stop_s) = (Vec::new(), None, total);
        for (slot, (name, kind)) in FAULTS.into_iter().enumerate() {
            let from = quiet_s + slot as f64 * spacing_s + rng.random_range(0.2..0.4) * spacing_s;
            let at = strokes.iter().position(|stroke| stroke.at_s >= from).unwrap_or(0);
            let (onset_s, offset_s) = match kind {
                Kind::Changed => {
                    detuned = Some((from, from + DETUNED_S));
                    (from, from + DETUNED_S)
                }
                Kind::Stopped => {
                    stop_s = (total - STOPPED_S).max(from);
                    (stop_s, total)
                }
                _ => go_wrong(&mut strokes, at, kind),
            };
            planted.push(Planted { name, kind, onset_s, offset_s });
        }
        let mut samples = drive(&mut rng, seconds_to_samples(total) as usize, detuned, stop_s);
        for stroke in strokes.iter().filter(|stroke| stroke.received && stroke.at_s < stop_s) {
            strike(&mut samples, &mut rng, *stroke);
        }
        Self { samples, planted }
    }
}

fn schedule(rng: &mut ChaCha8Rng, total_s: f64) -> Vec<Stroke> {
    let number = (total_s / STROKE_S) as usize;
    let at =
        |n: usize, rng: &mut ChaCha8Rng| (n + 1) as f64 * STROKE_S + rng.random_range(-JITTER_S..JITTER_S);
    (0..number).map(|n| Stroke { at_s: at(n, rng), clack: n % 2 == 1, received: true }).collect()
}

/// Does to the stroke at `at` what `kind` says; gives when that can be known, and when it is over.
fn go_wrong(strokes: &mut [Stroke], at: usize, kind: Kind) -> (f64, f64) {
    let Some([stroke, next]) = strokes.get_mut(at..at + 2) else { return (0.0, 0.0) };
    let due_s = stroke.at_s;
    match kind {
        Kind::Missing => stroke.received = false,
        Kind::Early => stroke.at_s -= 0.18,
        Kind::Late => stroke.at_s += 0.2,
        _ => (stroke.clack, next.clack) = (next.clack, stroke.clack),
    }
    let onset_s = due_s.min(stroke.at_s);
    (onset_s, onset_s + ABOUT_S)
}

/// The drive: hum and a whine with overtones over the noise of the hall, which is all that is left after the stop.
fn drive(rng: &mut ChaCha8Rng, length: usize, detuned: Option<(f64, f64)>, stop_s: f64) -> Vec<f32> {
    let (mut low, mut phase, mut pitch, mut loud) = (0f32, 0f32, 1f32, 1f32);
    let turn = std::f32::consts::TAU * 97.0 / MODEL_RATE as f32;
    (0..length)
        .map(|i| {
            let t = i as f64 / f64::from(MODEL_RATE);
            let higher = detuned.is_some_and(|(from, to)| (from..to).contains(&t));
            // an inertia of 30 ms
            pitch += 0.002 * (if higher { DETUNED } else { 1.0 } - pitch);
            loud += 0.002 * (if t < stop_s { 1.0 } else { 0.0 } - loud);
            phase = (phase + turn * pitch) % (20.0 * std::f32::consts::TAU);
            let white = rng.random_range(-1.0..1.0f32);
            low = 0.95 * low + 0.05 * white;
            let whine = (6.4 * phase).sin() + 0.6 * (12.8 * phase).sin() + 0.4 * (19.2 * phase).sin();
            let hum = phase.sin() + 0.6 * (2.0 * phase).sin();
            0.002 * white + 0.01 * low + loud * (0.004 * white + 0.012 * whine + 0.02 * hum)
        })
        .collect()
}

/// Adds a stroke: a low thump or a bright clack, a tone and a burst that fade.
fn strike(samples: &mut [f32], rng: &mut ChaCha8Rng, stroke: Stroke) {
    let (tone_hz, tone, fade_s, burst) =
        if stroke.clack { (1350.0, 0.10, 0.025, 0.10) } else { (140.0, 0.25, 0.05, 0.07) };
    let turn = std::f32::consts::TAU * tone_hz / MODEL_RATE as f32;
    let start = seconds_to_samples(stroke.at_s) as usize;
    for (i, sample) in samples.iter_mut().skip(start).take(MODEL_RATE as usize / 4).enumerate() {
        let age_s = i as f32 / MODEL_RATE as f32;
        let noise = rng.random_range(-1.0..1.0f32);
        let sound =
            tone * (-age_s / fade_s).exp() * (turn * i as f32).sin() + burst * (-age_s / 0.01).exp() * noise;
        *sample = (*sample + sound).clamp(-1.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level of the 20 ms from `at_s` on, dB full scale.
    fn level(scene: &Scene, at_s: f64) -> f32 {
        let start = seconds_to_samples(at_s) as usize;
        crate::units::level_dbfs(&scene.samples[start..start + 320])
    }

    #[test]
    fn faults_are_at_their_stated_times() {
        let scene = Scene::press(20.0, 10.0, 3);
        assert_eq!(scene.samples, Scene::press(20.0, 10.0, 3).samples);
        let [missing, early, late, swapped, drive, stop] = &scene.planted[..] else {
            panic!("six are planted")
        };
        let kinds: Vec<Kind> = scene.planted.iter().map(|planted| planted.kind).collect();
        assert_eq!(kinds, FAULTS.map(|(_, kind)| kind));
        assert!(level(&scene, missing.onset_s) < level(&scene, missing.onset_s - STROKE_S) - 6.0);
        assert!(level(&scene, missing.onset_s) < level(&scene, missing.onset_s + STROKE_S) - 6.0);
        for (fault, moved_s) in [(early, 0.0), (late, 0.2)] {
            assert!(
                level(&scene, fault.onset_s + moved_s) > level(&scene, fault.onset_s + moved_s + 0.2) + 6.0
            );
        }
        assert!(swapped.offset_s > swapped.onset_s && drive.offset_s - drive.onset_s == DETUNED_S);
        assert!(level(&scene, stop.onset_s + 1.0) < level(&scene, stop.onset_s - 0.3) - 6.0);
        assert!((scene.seconds() - stop.offset_s).abs() < 0.01);
        assert!(scene.planted.windows(2).all(|pair| pair[0].offset_s < pair[1].onset_s));
    }
}
