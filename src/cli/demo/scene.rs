//! Sound with planted events: a room with a running machine, and six sounds that do not belong there.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::audio_file::decode_mono;
use crate::error::Result;
use crate::event::Kind;
use crate::units::{MODEL_RATE, samples_to_seconds, seconds_to_samples};

/// An event planted in a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// Which kind of event that is.
    pub kind: Kind,
    /// First sample, seconds from the start of the scene.
    pub onset_s: f64,
    /// End of its audible part.
    pub offset_s: f64,
}

impl Planted {
    /// Whether an event that begins at `onset_s` can be this one: within it, or half a second beside its onset.
    #[must_use]
    pub fn explains(&self, onset_s: f64) -> bool {
        onset_s > self.onset_s - COLLAR_S && onset_s < self.offset_s.max(self.onset_s + COLLAR_S)
    }
}

/// Sound with known events, at 16 kHz.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Mono samples in [-1, 1].
    pub samples: Vec<f32>,
    /// The planted sounds, in order of time.
    pub planted: Vec<Planted>,
}

const HISS: &[u8] = include_bytes!("clips/vinyl_hiss.flac");
const SOUNDS: [(&str, f32, &[u8]); 6] = [
    ("crow", 0.10, include_bytes!("clips/misc_crow.flac")),
    ("door", 0.25, include_bytes!("clips/perc_door.flac")),
    ("electronic beep", 0.06, include_bytes!("clips/elec_beep.flac")),
    ("bell", 0.30, include_bytes!("clips/perc_bell.flac")),
    ("scratch", 0.08, include_bytes!("clips/vinyl_scratch.flac")),
    ("crow, far away", 0.04, include_bytes!("clips/misc_crow.flac")),
];

/// The recorded hiss crackles: an event to whoever listens closely, so it stays low.
const HISS_GAIN: f32 = 0.15;
/// An event belongs to a sound if it begins this near to its onset, seconds.
const COLLAR_S: f64 = 0.5;
/// Seconds of two pieces of background that overlap.
const FADE_S: f64 = 0.5;
/// A planted sound counts as audible until it has faded to this share of its peak.
const AUDIBLE: f32 = 0.05;

impl Scene {
    /// `quiet_s` seconds of the machine alone, then one planted sound after another, `spacing_s` apart, each at a
    /// random moment of its slot. The same seed gives the same scene.
    ///
    /// # Errors
    /// Only when the bundled clips are damaged.
    pub fn machine_room(quiet_s: f64, spacing_s: f64, seed: u64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let total = quiet_s + spacing_s * SOUNDS.len() as f64 + 2.0;
        let mut samples = machine(&mut rng, seconds_to_samples(total) as usize)?;
        let mut planted = Vec::new();
        for (slot, (name, gain, clip)) in SOUNDS.iter().enumerate() {
            let (sound, _) = decode_mono(clip)?;
            let wait = rng.random_range(0.1..0.4) * spacing_s;
            let onset = seconds_to_samples(quiet_s + slot as f64 * spacing_s + wait) as usize;
            let peak = sound.iter().fold(0f32, |m, x| m.max(x.abs()));
            let first = sound.iter().position(|x| x.abs() > AUDIBLE * peak).unwrap_or(0);
            let last = sound.iter().rposition(|x| x.abs() > AUDIBLE * peak).unwrap_or(0);
            for (to, from) in samples.iter_mut().skip(onset).zip(sound.iter().skip(first)) {
                *to = (*to + gain * from).clamp(-1.0, 1.0);
            }
            planted.push(Planted {
                name,
                kind: Kind::Foreign,
                onset_s: samples_to_seconds(onset as u64),
                offset_s: samples_to_seconds((onset + last - first) as u64),
            });
        }
        Ok(Self { samples, planted })
    }

    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        samples_to_seconds(self.samples.len() as u64)
    }
}

/// A fan at full speed: band-limited noise that breathes a little, hum and its overtones, and the quiet part of a
/// recorded hiss beneath, in pieces of random order.
fn machine(rng: &mut ChaCha8Rng, length: usize) -> Result<Vec<f32>> {
    let (hiss, _) = decode_mono(HISS)?;
    let fade = seconds_to_samples(FADE_S) as usize;
    let mut out = vec![0f32; length];
    let mut at = 0;
    while at < length {
        let piece = (rng.random_range(2.0..4.0) * f64::from(MODEL_RATE)) as usize;
        let start = rng.random_range(0..hiss.len() - piece);
        for i in 0..piece.min(length - at) {
            let rise = if at == 0 { 1.0 } else { ramp(i, fade) };
            let gain = rise * ramp(piece - 1 - i, fade);
            if let (Some(to), Some(from)) = (out.get_mut(at + i), hiss.get(start + i)) {
                *to += HISS_GAIN * gain * from;
            }
        }
        at += piece - fade;
    }
    let (mut low, mut band, mut breath, mut phase) = (0f32, 0f32, 0f32, 0f32);
    let turn = std::f32::consts::TAU * 49.3 / MODEL_RATE as f32;
    for sample in &mut out {
        let white = rng.random_range(-1.0..1.0f32);
        low = 0.97 * low + 0.03 * white;
        band += 0.25 * (white - band);
        breath = 0.9999 * breath + 0.0001 * rng.random_range(-1.0..1.0f32);
        phase = (phase + turn) % std::f32::consts::TAU;
        let hum = phase.sin() + 0.5 * (2.0 * phase).sin() + 0.2 * (6.0 * phase).sin();
        *sample += (1.0 + 20.0 * breath) * (0.04 * low + 0.02 * (band - low)) + 0.004 * hum;
    }
    Ok(out)
}

fn ramp(i: usize, fade: usize) -> f32 {
    if i >= fade { 1.0 } else { (std::f32::consts::FRAC_PI_2 * i as f32 / fade as f32).sin() }
}
