//! The critic's training data: sites, and the same sites with foreign sounds in them.

use std::collections::BTreeMap;
use std::path::Path;

use super::augment::microphone;
use super::checkpointable_rng::CheckpointableRng;
use crate::corpus::rare::{Planted, active_part, join, plant, to_level, without_padding};
use crate::corpus::{ClipRow, Selection, read_clips, read_rows};
use crate::error::{Error, Result};
use crate::units::{MODEL_RATE, level_dbfs, samples_to_seconds, seconds_to_samples};

/// Seconds of the calibration part of a scene, one of these: calibrations are of all lengths.
const QUIET_S: [f64; 5] = [60.0, 90.0, 90.0, 120.0, 200.0];
/// Seconds after it.
const AFTER_S: f64 = 130.0;
/// A clip is a background if at least this share of it lies within 20 dB of its loudest moment.
const STEADY: f64 = 0.6;
/// Least seconds of steady sound of a site.
const LEAST_PLACE_S: f64 = 8.0;
/// Most clips of a scene's site.
const PLACE_CLIPS: (usize, usize) = (3, 9);
/// Level of a planted sound over the background, dB.
const RATIO_DB: (f32, f32) = (-16.0, 7.0);
/// Seconds between planted sounds.
const GAP_S: (f32, f32) = (1.8, 4.5);
/// Share of sites that are synthetic noise.
const NOISE_SHARE: f64 = 0.12;
/// Share of sites that get another frequency response, and its size in dB.
const RESPONSE: (f64, f32) = (0.6, 9.0);
/// Other recordings of the site's own kind in a scene.
const OWN: usize = 5;
/// Share of sites with a second one mixed beneath the first.
const DOUBLE_SHARE: f64 = 0.2;

/// Recordings by kind: those with the same label, or each alone.
#[derive(Debug, Clone)]
pub struct CriticDataset {
    places: Vec<(String, Vec<Vec<f32>>)>,
    foreign: Vec<(String, Vec<f32>)>,
    /// Files that were left out, a line each.
    pub skipped: Vec<String>,
}

/// A stream and the foreign sounds in it.
#[derive(Debug, Clone)]
pub(super) struct TrainingScene {
    /// Seconds of the calibration part at the start.
    pub(super) quiet_s: f64,
    pub(super) samples: Vec<f32>,
    pub(super) events: Vec<Planted>,
}

impl CriticDataset {
    /// The clips of a folder with a `manifest.csv`, its rows of `selection`.
    ///
    /// # Errors
    /// When it cannot be read, or holds fewer than two kinds of sound or no steady one.
    pub fn read(data: &Path, selection: Selection, progress: impl FnMut(usize, usize)) -> Result<Self> {
        let folder = if data.is_file() { data.parent().unwrap_or(Path::new(".")) } else { data };
        let rows = read_rows(folder)?;
        let rows: Vec<&ClipRow> = rows.iter().filter(|row| row.is(selection)).collect();
        let (clips, skipped) = read_clips(folder, &rows, progress);
        let kinds = clips.iter().map(|clip| {
            let row = &clip.row;
            let kind = if row.label.is_empty() { row.file.clone() } else { row.label.to_lowercase() };
            (kind, clip.samples().collect::<Vec<f32>>())
        });
        Self::of(kinds, skipped)
    }

    /// Of sounds with their kind.
    fn of(sounds: impl Iterator<Item = (String, Vec<f32>)>, skipped: Vec<String>) -> Result<Self> {
        let (mut places, mut foreign) = (BTreeMap::<String, Vec<Vec<f32>>>::new(), Vec::new());
        for (kind, samples) in sounds {
            let samples = without_padding(&samples);
            foreign.extend(active_part(&samples).map(|part| (kind.clone(), part)));
            if is_steady(&samples) {
                places.entry(kind).or_default().extend(to_level(samples));
            }
        }
        places.retain(|_, clips| {
            samples_to_seconds(clips.iter().map(Vec::len).sum::<usize>() as u64) >= LEAST_PLACE_S
        });
        let kinds: std::collections::BTreeSet<&String> = foreign.iter().map(|f| &f.0).collect();
        if places.is_empty() || kinds.len() < 2 {
            return Err(Error::config(
                format!(
                    "{} kinds of sound, {} of them steady, to teach a critic with",
                    kinds.len(),
                    places.len()
                ),
                "give recordings of at least two kinds, one of them a steady background of 8 s or more",
            ));
        }
        Ok(Self { places: places.into_iter().collect(), foreign, skipped })
    }

    /// Number of sites and of foreign sounds.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.places.len(), self.foreign.len())
    }

    /// Scene `number`: a site alone, then foreign sounds in it at all levels, steps of the gain and other recordings of
    /// its own kind. Only the foreign sounds are positives. A `plain` scene is the site alone, all the time.
    pub(super) fn scene(&self, seed: u64, number: u64, plain: bool) -> TrainingScene {
        let mut rng = CheckpointableRng::new(seed, if plain { 1_000_000 } else { 100 } + number);
        let quiet_s = QUIET_S.get(rng.below(QUIET_S.len())).copied().unwrap_or(90.0);
        let length = seconds_to_samples(quiet_s + AFTER_S) as usize;
        let noise = rng.chance(NOISE_SHARE);
        let (mut kinds, mut samples, own) = if noise {
            (Vec::new(), coloured_noise(length, &mut rng), Vec::new())
        } else {
            let (kind, samples, own) = self.site(number as usize % self.places.len(), length, &mut rng);
            (vec![kind], samples, own)
        };
        if !noise && rng.chance(DOUBLE_SHARE) {
            let (kind, other, _) = self.site(rng.below(self.places.len()), length, &mut rng);
            let gain = 10f32.powf(rng.between((-12.0, 3.0)) / 20.0);
            samples.iter_mut().zip(&other).for_each(|(x, y)| *x += gain * y);
            kinds.push(kind);
        }
        let level = rng.between((-46.0, -26.0));
        let gain = 10f32.powf((level - level_dbfs(&samples)) / 20.0);
        samples.iter_mut().for_each(|x| *x *= gain);
        let mut scene = TrainingScene { quiet_s, samples, events: Vec::new() };
        if !plain {
            for _ in 0..OWN {
                if let Some(clip) = own.get(rng.below(own.len())) {
                    scene.add_same_kind(clip, &mut rng);
                }
            }
            self.plant_foreign(&mut scene, &kinds, &mut rng);
            scene.step_gain(&mut rng);
        }
        scene.samples.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        scene
    }

    /// A stream of some clips of a kind, and those of its clips that were left out.
    fn site(
        &self,
        number: usize,
        length: usize,
        rng: &mut CheckpointableRng,
    ) -> (String, Vec<f32>, Vec<Vec<f32>>) {
        let Some((kind, clips)) = self.places.get(number) else {
            return (String::new(), coloured_noise(length, rng), Vec::new());
        };
        let mut clips = clips.clone();
        for i in (1..clips.len()).rev() {
            clips.swap(i, rng.below(i + 1));
        }
        let most = PLACE_CLIPS.0 + rng.below(PLACE_CLIPS.1 - PLACE_CLIPS.0 + 1);
        let own = if clips.len() > most { clips.split_off(most) } else { Vec::new() };
        let (mut samples, _) = join(rng.rng(), &clips, length);
        let mut own: Vec<Vec<f32>> = own.into_iter().take(4).collect();
        if own.is_empty() {
            own = clips.into_iter().take(1).collect();
        }
        if rng.chance(RESPONSE.0) {
            for bell in microphone(rng, RESPONSE.1).iter().flatten() {
                bell.run(&mut samples);
                own.iter_mut().for_each(|clip| bell.run(clip));
            }
        }
        (kind.clone(), samples, own)
    }

    fn plant_foreign(&self, scene: &mut TrainingScene, kinds: &[String], rng: &mut CheckpointableRng) {
        let mut at = scene.quiet_s + f64::from(rng.between(GAP_S));
        let end = samples_to_seconds(scene.samples.len() as u64) - 4.0;
        while at < end {
            let Some((kind, sound)) = self.foreign.get(rng.below(self.foreign.len())) else { break };
            if kinds.contains(kind) {
                continue;
            }
            let mut sound = sound.clone();
            if rng.chance(0.5) {
                microphone(rng, 8.0).iter().flatten().for_each(|bell| bell.run(&mut sound));
            }
            let ratio_db = rng.between(RATIO_DB);
            let Some(planted) = plant(&mut scene.samples, kind, &sound, ratio_db, at) else { break };
            at = planted.offset_s + f64::from(rng.between(GAP_S));
            scene.events.push(planted);
        }
    }
}

impl TrainingScene {
    /// Another recording of the site's own kind for some seconds, beside the background or in its place: a negative.
    fn add_same_kind(&mut self, clip: &[f32], rng: &mut CheckpointableRng) {
        let length = (rng.between((1.5, 6.0)) * MODEL_RATE as f32) as usize;
        let length = length.min(clip.len());
        let quiet = seconds_to_samples(self.quiet_s) as usize;
        let room = self.samples.len().saturating_sub(quiet + length);
        let at = quiet + rng.below(room);
        let from = rng.below(clip.len() - length);
        let fade = (length / 3).clamp(1, 8000);
        let Some(beneath) = self.samples.get_mut(at..at + length) else { return };
        let instead = rng.chance(0.5);
        let ratio = if instead { rng.between((-2.0, 2.0)) } else { rng.between((-6.0, 2.0)) };
        let gain = 10f32.powf((level_dbfs(beneath) + ratio - level_dbfs(clip)) / 20.0);
        for (i, (to, new)) in beneath.iter_mut().zip(clip.iter().skip(from)).enumerate() {
            let rise = (i.min(length - 1 - i) as f32 / fade as f32).min(1.0);
            let stays = if instead { (1.0 - rise * rise).sqrt() } else { 1.0 };
            *to = *to * stays + gain * rise * new;
        }
    }

    /// Changes of gain that stay for a while.
    fn step_gain(&mut self, rng: &mut CheckpointableRng) {
        let mut at = self.quiet_s;
        loop {
            at += f64::from(rng.between((3.0, 12.0)));
            let until = at + f64::from(rng.between((12.0, 24.0)));
            let db = match rng.below(3) {
                0 => -6.0,
                1 => 6.0,
                _ => rng.between((-9.0, 9.0)),
            };
            let range = seconds_to_samples(at) as usize..seconds_to_samples(until) as usize;
            let Some(part) = self.samples.get_mut(range) else { return };
            let gain = 10f32.powf(db / 20.0);
            part.iter_mut().for_each(|x| *x *= gain);
            at = until;
        }
    }
}

fn is_steady(samples: &[f32]) -> bool {
    let levels: Vec<f32> = samples.chunks_exact(MODEL_RATE as usize / 20).map(level_dbfs).collect();
    let loudest = levels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let near = levels.iter().filter(|&&l| l > loudest - 20.0).count();
    !levels.is_empty() && near as f64 >= STEADY * levels.len() as f64
}

/// Noise of a random colour with hum, slowly swelling.
fn coloured_noise(length: usize, rng: &mut CheckpointableRng) -> Vec<f32> {
    let (dull, hum) = (rng.between((0.0, 0.98)), rng.between((50.0, 500.0)));
    let hum_share = if rng.chance(0.5) { rng.between((0.02, 0.3)) } else { 0.0 };
    let (depth, turns) = (rng.between((0.0, 0.5)), rng.between((0.05, 2.0)));
    let bells = microphone(rng, 12.0);
    let mut low = 0f32;
    let mut samples: Vec<f32> = (0..length)
        .map(|i| {
            let t = i as f32 / MODEL_RATE as f32;
            low = dull * low + (1.0 - dull) * rng.between((-1.0, 1.0));
            let phase = std::f32::consts::TAU * (hum * t).fract();
            let tone: f32 = (1..8).map(|n| (n as f32 * phase).sin() / n as f32).sum();
            let swell = 1.0 + depth * (std::f32::consts::TAU * turns * t).sin();
            swell * low / (1.0 - dull).sqrt() + hum_share * tone
        })
        .collect();
    bells.iter().flatten().for_each(|bell| bell.run(&mut samples));
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> CriticDataset {
        let mut rng = CheckpointableRng::new(1, 1);
        let mut sounds: Vec<(String, Vec<f32>)> =
            (0..4).map(|_| ("hum".to_owned(), coloured_noise(80_000, &mut rng))).collect();
        let chirp = |f: f32| (0..16_000).map(|i| 0.2 * (i as f32 * i as f32 * f).sin()).collect::<Vec<f32>>();
        sounds.extend((1..4).map(|k| ("chirp".to_owned(), chirp(1e-5 * k as f32))));
        CriticDataset::of(sounds.into_iter(), Vec::new()).unwrap()
    }

    #[test]
    fn a_scene_repeats_and_lists_its_foreign_sounds() {
        let dataset = dataset();
        let (a, b) = (dataset.scene(1, 0, false), dataset.scene(1, 0, false));
        assert_eq!(a.samples, b.samples);
        assert!(a.samples != dataset.scene(1, 1, false).samples);
        assert_eq!(a.samples.len(), (a.quiet_s as usize + 130) * 16_000);
        assert!(dataset.scene(1, 0, true).events.is_empty());
        assert!(a.events.len() > 10, "{}", a.events.len());
        for event in &a.events {
            assert!(event.onset_s > a.quiet_s && event.offset_s < a.quiet_s + 130.0);
            assert!((-16.0..=7.0).contains(&event.ratio_db.unwrap()));
        }
        assert!(a.samples.iter().all(|x| x.abs() <= 1.0));
    }

    #[test]
    fn one_kind_of_sound_is_not_enough() {
        let sounds = (0..3).map(|_| ("a".to_owned(), vec![0.1f32; 80_000]));
        let error = CriticDataset::of(sounds, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("1 kinds of sound"), "{error}");
    }
}
