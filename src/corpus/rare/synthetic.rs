//! Material from noise and oscillators.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::background::{Background, Continuity, Material};
use super::cut::{active_part, one_shot, to_level};
use crate::units::MODEL_RATE;

const RATE: f32 = MODEL_RATE as f32;
/// Seconds of a clip of background, of a recording and of a state of the motor.
const CLIP_S: usize = 12;
const RECORDING_S: usize = 40;
const STATE_S: usize = 24;
/// Variants of each foreign sound.
const VARIANTS: u64 = 4;

/// A sample from its time in seconds and its pitch.
type Sounding = fn(f32, f32, &mut ChaCha8Rng) -> f32;

/// Parameters of a background.
struct Voice {
    name: &'static str,
    /// Whether it is one recording.
    recording: bool,
    /// Whether it is a machine.
    machine: bool,
    /// Pole of a low pass on white noise, 0 to 1: the larger, the duller.
    dull: f32,
    /// Share of the noise that passes a second difference: hiss.
    hiss: f32,
    /// Fundamental of a hum in Hz, and its share.
    hum: (f32, f32),
    /// How often a drop falls, a second.
    drops: f32,
    /// Depth and rate in Hz of a swell.
    swell: (f32, f32),
}

const VOICES: [Voice; 4] = [
    Voice {
        name: "fan",
        recording: true,
        machine: true,
        dull: 0.9,
        hiss: 0.05,
        hum: (97.0, 0.3),
        drops: 0.0,
        swell: (0.1, 0.3),
    },
    Voice {
        name: "rain",
        recording: false,
        machine: false,
        dull: 0.3,
        hiss: 0.5,
        hum: (100.0, 0.0),
        drops: 40.0,
        swell: (0.2, 0.15),
    },
    Voice {
        name: "engine",
        recording: true,
        machine: true,
        dull: 0.96,
        hiss: 0.02,
        hum: (43.0, 2.0),
        drops: 0.0,
        swell: (0.3, 7.0),
    },
    Voice {
        name: "surf",
        recording: false,
        machine: false,
        dull: 0.7,
        hiss: 0.2,
        hum: (50.0, 0.0),
        drops: 0.0,
        swell: (0.8, 0.12),
    },
];

/// States of a motor: whirr of the propeller and hum of the winding at two speeds.
const STATES: [Voice; 3] = [
    Voice {
        name: "motor slow",
        recording: false,
        machine: true,
        dull: 0.8,
        hiss: 0.1,
        hum: (80.0, 1.0),
        drops: 0.0,
        swell: (0.2, 9.0),
    },
    Voice {
        name: "motor fast",
        recording: false,
        machine: true,
        dull: 0.6,
        hiss: 0.2,
        hum: (130.0, 1.0),
        drops: 0.0,
        swell: (0.2, 14.0),
    },
    Voice {
        name: "motor bare",
        recording: false,
        machine: true,
        dull: 0.9,
        hiss: 0.4,
        hum: (160.0, 1.5),
        drops: 0.0,
        swell: (0.0, 1.0),
    },
];

/// Four backgrounds, two of them recordings and two with three clips and a second recording each, five kinds of foreign
/// sounds, five strokes, three states of a motor.
pub(super) fn material(seed: u64) -> Material {
    let made =
        |voice: &Voice, continuity: Continuity, clips: Vec<Vec<f32>>, second: Option<Vec<f32>>| Background {
            name: voice.name.to_owned(),
            collection: "synthetic".to_owned(),
            continuity,
            machine: voice.machine,
            clips,
            second,
        };
    let background = |voice: &Voice| {
        if voice.recording {
            let recording = to_level(play(voice, seed, RECORDING_S)).into_iter().collect();
            return made(voice, Continuity::Recording, recording, None);
        }
        let clip = |i: u64| to_level(play(voice, seed.wrapping_add(i), CLIP_S));
        let mut clips: Vec<Vec<f32>> = (0..4).filter_map(clip).collect();
        let second = clips.pop();
        made(voice, Continuity::Clips, clips, second)
    };
    let state = |voice: &Voice| {
        made(voice, Continuity::State, to_level(play(voice, seed, STATE_S)).into_iter().collect(), None)
    };
    let kinds: [(&str, Sounding); 5] = [
        ("siren", |t, pitch, _| {
            let swept = 600.0 * pitch * t + 60.0 * pitch * (1.0 - (TAU * 2.0 * t).cos());
            (TAU * swept).sin()
        }),
        ("bark", |t, pitch, rng| {
            let envelope = (-8.0 * (t % 0.4)).exp();
            let tone: f32 = (1..6).map(|n| (TAU * 320.0 * pitch * n as f32 * t).sin() / n as f32).sum();
            envelope * (tone + rng.random_range(-0.4..0.4))
        }),
        ("glass", |t, pitch, rng| {
            let ring: f32 = [3100.0, 4430.0, 5210.0].iter().map(|f| (TAU * f * pitch * t).sin()).sum();
            (-5.0 * t).exp() * ring + (-40.0 * t).exp() * rng.random_range(-3.0..3.0)
        }),
        ("knock", |t, pitch, rng| {
            let since = t % 0.25;
            (-50.0 * since).exp() * ((TAU * 180.0 * pitch * since).sin() + rng.random_range(-0.3..0.3))
        }),
        ("alarm", |t, pitch, _| if t % 0.3 < 0.15 { (TAU * 2050.0 * pitch * t).sin() } else { 0.0 }),
    ];
    let foreign = kinds.iter().flat_map(|(name, voice)| {
        (0..VARIANTS).filter_map(move |variant| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (variant << 8));
            let (pitch, seconds) = (rng.random_range(0.8..1.25f32), rng.random_range(0.6..2.0f32));
            let samples: Vec<f32> =
                (0..(seconds * RATE) as usize).map(|i| voice(i as f32 / RATE, pitch, &mut rng)).collect();
            active_part(&samples).map(|part| ((*name).to_owned(), part))
        })
    });
    let strokes: [(&str, Sounding); 5] = [
        ("click", |t, pitch, _| (-400.0 * t).exp() * (TAU * 2900.0 * pitch * t).sin()),
        ("clank", |t, pitch, _| {
            let ring: f32 = [730.0, 1190.0, 1930.0].iter().map(|f| (TAU * f * pitch * t).sin()).sum();
            (-18.0 * t).exp() * ring
        }),
        ("thud", |t, pitch, rng| {
            (-30.0 * t).exp() * ((TAU * 110.0 * pitch * t).sin() + rng.random_range(-0.1..0.1))
        }),
        ("puff", |t, _, rng| (-12.0 * (t - 0.08).abs()).exp() * rng.random_range(-1.0..1.0)),
        ("beep", |t, pitch, _| if t < 0.15 { (TAU * 1400.0 * pitch * t).sin() } else { 0.0 }),
    ];
    let stroke = |(number, (name, voice)): (usize, &(&str, Sounding))| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ ((number as u64 + 1) << 16));
        let pitch = rng.random_range(0.8..1.25f32);
        let samples: Vec<f32> =
            (0..MODEL_RATE as usize / 2).map(|i| voice(i as f32 / RATE, pitch, &mut rng)).collect();
        one_shot(&samples).map(|sound| ((*name).to_owned(), sound))
    };
    Material {
        backgrounds: VOICES.iter().map(background).collect(),
        foreign: foreign.collect(),
        strokes: strokes.iter().enumerate().filter_map(stroke).collect(),
        states: STATES.iter().map(state).collect(),
        skipped: Vec::new(),
    }
}

const TAU: f32 = std::f32::consts::TAU;

fn play(voice: &Voice, seed: u64, seconds: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut low, mut last, mut drop) = (0f32, 0f32, 0f32);
    let phase = rng.random_range(0.0..TAU);
    (0..seconds * MODEL_RATE as usize)
        .map(|i| {
            let t = i as f32 / RATE;
            let white = rng.random_range(-1.0..1.0f32);
            low = voice.dull * low + (1.0 - voice.dull) * white;
            let hiss = white - last;
            last = white;
            if rng.random::<f32>() < voice.drops / RATE {
                drop = rng.random_range(0.2..1.0);
            }
            drop *= 0.992;
            let hum: f32 = (1..4).map(|n| (TAU * voice.hum.0 * n as f32 * t).sin() / n as f32).sum();
            let swell = 1.0 + voice.swell.0 * (TAU * voice.swell.1 * t + phase).sin();
            swell * (low + voice.hiss * hiss + drop * white) + 0.1 * voice.hum.1 * hum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_name_and_a_sound() {
        let material = material(1);
        assert_eq!(material.backgrounds.len(), 4);
        assert!(material.foreign.len() >= 16, "{}", material.foreign.len());
        assert_eq!(material.strokes.len(), 5);
        assert_eq!(material.states.len(), 3);
        for background in &material.backgrounds {
            let recording = background.continuity == Continuity::Recording;
            assert_eq!(background.clips.len(), if recording { 1 } else { 3 });
            assert_eq!(background.second.is_none(), recording);
            assert!(background.clips.iter().flatten().all(|x| x.is_finite()));
        }
        let sounds = material.foreign.iter().chain(&material.strokes);
        assert!(sounds.into_iter().all(|(_, sound)| sound.iter().any(|x| x.abs() > 0.01)));
    }
}
