//! Streams from material.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::material::{Background, Material};
use super::recipe::{Control, ControlKind, Planted, Recipe};
use crate::units::{samples_to_seconds, seconds_to_samples};

/// Two pieces overlap by this much.
const FADE_S: f64 = 0.5;
/// Length of a piece.
const PIECE_S: (f64, f64) = (2.0, 20.0);
/// A second recording stays for this long, and is at most this much louder or fainter.
const SECOND_S: (f64, f64) = (4.0, 6.0);
const SECOND_DB: f32 = 2.0;
/// Level of the whole stream.
const GAIN_DB: (f32, f32) = (-10.0, 6.0);

/// A stream and the truth about it.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Background and number.
    pub name: String,
    /// What the background is.
    pub background: String,
    /// Mono samples at 16 kHz in [-1, 1].
    pub samples: Vec<f32>,
    /// Seconds without events at the start.
    pub quiet_s: f64,
    /// Foreign sounds, in order of time.
    pub events: Vec<Planted>,
    /// Controls, in order of kind, then of time.
    pub controls: Vec<Control>,
}

impl Recipe {
    /// The streams of `material`: `takes` of each background.
    #[must_use]
    pub fn streams(&self, material: &Material) -> Vec<Stream> {
        let takes = material.backgrounds.iter().flat_map(|b| (0..self.takes).map(move |take| (b, take)));
        let seeds = (0u64..).map(|i| self.seed.wrapping_mul(1_000_003).wrapping_add(i));
        takes
            .zip(seeds)
            .map(|((background, take), seed)| self.stream(background, material, take, seed))
            .collect()
    }

    fn stream(&self, background: &Background, material: &Material, take: usize, seed: u64) -> Stream {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let length = seconds_to_samples(self.seconds) as usize;
        let (mut samples, joins) = join(&mut rng, &background.clips, length);
        let mut stream = Stream {
            name: format!("{} {}", background.name, take + 1),
            background: background.name.clone(),
            samples: Vec::new(),
            quiet_s: self.quiet_s,
            events: Vec::new(),
            controls: joins,
        };
        let slots = ((self.seconds - self.quiet_s) / self.slot_s) as usize;
        let start = |slot: usize| self.quiet_s + slot as f64 * self.slot_s;
        // slots in turn: a sound, a control
        let (mut steps, mut up) = (Vec::new(), rng.random::<bool>());
        for slot in (1..slots).step_by(2) {
            let at = start(slot) + rng.random_range(0.1..0.3) * self.slot_s;
            match (slot / 2) % 2 {
                0 => {
                    steps.push((at, if up { self.gain_step_db } else { -self.gain_step_db }));
                    up = !up;
                }
                _ => {
                    if let Some(second) = &background.second {
                        stream.controls.push(replace(&mut rng, &mut samples, second, at));
                    }
                }
            }
        }
        let turn = rng.random_range(0..self.ratios_db.len());
        for slot in (0..slots).step_by(2) {
            let at = start(slot) + rng.random_range(0.1..0.7) * self.slot_s;
            let pick = rng.random_range(0..material.foreign.len());
            let ratio = self.ratios_db.get((turn + slot / 2) % self.ratios_db.len()).copied();
            if let (Some((label, sound)), Some(ratio_db)) = (material.foreign.get(pick), ratio) {
                stream.events.extend(plant(&mut samples, label, sound, ratio_db, at));
            }
        }
        self.contaminate(&mut samples, material, seed);
        let mut gain = 10f32.powf(rng.random_range(GAIN_DB.0..GAIN_DB.1) / 20.0);
        let mut from = 0;
        for (at, step) in steps.into_iter().chain([(self.seconds, 0.0)]) {
            let until = (seconds_to_samples(at) as usize).min(length);
            for x in samples.get_mut(from..until).unwrap_or_default() {
                *x = (*x * gain).clamp(-1.0, 1.0);
            }
            if until < length {
                let control = Control { kind: ControlKind::GainStep, onset_s: at, offset_s: at };
                stream.controls.push(control);
            }
            (from, gain) = (until, gain * 10f32.powf(step / 20.0));
        }
        stream.samples = samples;
        stream
    }

    /// Foreign sounds in the quiet part. They have dice of their own: all else stays as it is without them.
    fn contaminate(&self, samples: &mut [f32], material: &Material, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let quiet = samples.len().min(seconds_to_samples(self.quiet_s) as usize);
        let quiet = samples.get_mut(..quiet).unwrap_or_default();
        let mut left_s = self.contamination * self.quiet_s;
        while left_s > 0.0 && !material.foreign.is_empty() {
            let (label, sound) = &material.foreign[rng.random_range(0..material.foreign.len())];
            let length_s = samples_to_seconds(sound.len() as u64);
            let ratio_db = self.ratios_db[rng.random_range(0..self.ratios_db.len())];
            let at_s = rng.random_range(0.0..(self.quiet_s - length_s).max(0.1));
            plant(quiet, label, sound, ratio_db, at_s);
            left_s -= length_s.max(0.1);
        }
    }
}

/// Pieces of `clips` at random places, joined by equal-power cross-fades.
pub(crate) fn join(rng: &mut ChaCha8Rng, clips: &[Vec<f32>], length: usize) -> (Vec<f32>, Vec<Control>) {
    let fade = seconds_to_samples(FADE_S) as usize;
    let (mut out, mut joins) = (vec![0f32; length], Vec::new());
    let mut at = 0;
    while at < length && !clips.is_empty() {
        let Some(clip) = clips.get(rng.random_range(0..clips.len())) else { break };
        let wanted = seconds_to_samples(rng.random_range(PIECE_S.0..PIECE_S.1)) as usize;
        let piece = wanted.min(clip.len()).max(fade + 1);
        let start = rng.random_range(0..=clip.len().saturating_sub(piece));
        if at > 0 {
            let onset_s = samples_to_seconds(at as u64);
            joins.push(Control { kind: ControlKind::Join, onset_s, offset_s: onset_s + FADE_S });
        }
        for (i, from) in clip.iter().skip(start).take(piece).enumerate() {
            let rise = if at == 0 { 1.0 } else { ramp(i, fade) };
            if let Some(to) = out.get_mut(at + i) {
                *to += from * rise * ramp(piece - 1 - i, fade);
            }
        }
        at += piece - fade;
    }
    (out, joins)
}

/// Puts `second` in the place of the background from `at_s` on, cross-faded at both ends.
fn replace(rng: &mut ChaCha8Rng, samples: &mut [f32], second: &[f32], at_s: f64) -> Control {
    let fade = seconds_to_samples(FADE_S) as usize;
    let wanted = seconds_to_samples(rng.random_range(SECOND_S.0..SECOND_S.1)) as usize;
    let length = wanted.min(second.len());
    let from = rng.random_range(0..=second.len() - length);
    let at = seconds_to_samples(at_s) as usize;
    let gain = 10f32.powf(rng.random_range(-SECOND_DB..SECOND_DB) / 20.0);
    for (i, (to, new)) in samples.iter_mut().skip(at).zip(second.iter().skip(from).take(length)).enumerate() {
        let here = ramp(i, fade).min(ramp(length - 1 - i, fade));
        *to = *to * (1.0 - here * here).sqrt() + gain * new * here;
    }
    Control {
        kind: ControlKind::SecondClip,
        onset_s: at_s,
        offset_s: at_s + samples_to_seconds(length as u64),
    }
}

/// Adds `sound` at `ratio_db` over the background beneath it; nothing where the background is silent.
pub(crate) fn plant(
    samples: &mut [f32],
    label: &str,
    sound: &[f32],
    ratio_db: f32,
    at_s: f64,
) -> Option<Planted> {
    let at = seconds_to_samples(at_s) as usize;
    let beneath = samples.get_mut(at..at + sound.len())?;
    let power =
        |xs: &[f32]| xs.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / xs.len().max(1) as f64;
    let (own, below) = (power(sound), power(beneath));
    if own <= 0.0 || below <= 0.0 {
        return None;
    }
    let gain = (below / own * 10f64.powf(f64::from(ratio_db) / 10.0)).sqrt() as f32;
    beneath.iter_mut().zip(sound).for_each(|(to, from)| *to += gain * from);
    let onset_s = samples_to_seconds(at as u64);
    let offset_s = samples_to_seconds((at + sound.len()) as u64);
    Some(Planted { label: label.to_owned(), ratio_db, onset_s, offset_s })
}

fn ramp(i: usize, fade: usize) -> f32 {
    if i >= fade { 1.0 } else { (std::f32::consts::FRAC_PI_2 * i as f32 / fade as f32).sin() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::level_dbfs;

    fn streams(seed: u64) -> Vec<Stream> {
        Recipe { seed, ..Recipe::slice() }.streams(&Material::synthetic(1))
    }

    #[test]
    fn the_same_seed_gives_the_same_streams() {
        let (a, b, c) = (streams(1), streams(1), streams(2));
        assert!(a.iter().zip(&b).all(|(a, b)| a.samples == b.samples && a.events == b.events));
        assert!(a.iter().zip(&c).all(|(a, c)| a.samples != c.samples));
    }

    #[test]
    fn contamination_is_in_the_quiet_part_alone() {
        let material = Material::synthetic(1);
        let recipe = Recipe { seed: 4, ..Recipe::slice() };
        let dirty = Recipe { contamination: 0.05, ..recipe.clone() }.streams(&material);
        let mut changed = 0;
        for (a, b) in recipe.streams(&material).iter().zip(&dirty) {
            let quiet = seconds_to_samples(a.quiet_s) as usize;
            assert!(a.samples[quiet..] == b.samples[quiet..] && a.events == b.events);
            changed += a.samples[..quiet].iter().zip(&b.samples).filter(|(x, y)| x != y).count();
        }
        let share = changed as f64 / (dirty.len() as f64 * 60.0 * 16_000.0);
        assert!((0.03..0.12).contains(&share), "{share}");
    }

    #[test]
    fn the_quiet_part_is_quiet_and_slots_do_not_touch() {
        for stream in streams(3) {
            assert_eq!(stream.samples.len(), 150 * 16_000);
            assert!(stream.events.len() >= 4, "{}: {} events", stream.name, stream.events.len());
            assert!(stream.samples.iter().all(|x| x.abs() <= 1.0));
            let placed = |kind| move |c: &&Control| c.kind == kind;
            assert!(stream.controls.iter().any(|c| c.kind == ControlKind::GainStep));
            assert!(stream.controls.iter().any(|c| c.kind == ControlKind::SecondClip));
            for event in &stream.events {
                assert!(event.onset_s >= stream.quiet_s && event.offset_s <= 150.0);
                for control in stream.controls.iter().filter(placed(ControlKind::SecondClip)) {
                    assert!(control.offset_s <= event.onset_s || control.onset_s >= event.offset_s);
                }
            }
        }
    }

    #[test]
    fn a_planted_sound_has_its_ratio() {
        let background: Vec<f32> = (0..32_000).map(|i| 0.1 * (i as f32 * 0.05).sin()).collect();
        let sound: Vec<f32> = (0..16_000).map(|i| 0.3 * (i as f32 * 0.9).sin()).collect();
        let mut mixed = background.clone();
        let planted = plant(&mut mixed, "x", &sound, -6.0, 0.5).unwrap();
        assert_eq!((planted.onset_s, planted.offset_s), (0.5, 1.5));
        let added: Vec<f32> = mixed.iter().zip(&background).map(|(m, b)| m - b).collect();
        let ratio = level_dbfs(&added[8000..24_000]) - level_dbfs(&background[8000..24_000]);
        assert!((ratio + 6.0).abs() < 0.01, "{ratio}");
        assert!(plant(&mut mixed, "x", &sound, -6.0, 1.5).is_none(), "it does not fit");
    }
}
