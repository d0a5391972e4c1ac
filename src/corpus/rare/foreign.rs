//! Foreign sounds added to a background.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::family::AnomalyKind;
use super::recipe::{Planted, SceneRecipe};
use crate::units::{rms, samples_to_seconds, seconds_to_samples};

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
    let (own, below) = (rms(sound), rms(beneath));
    if own <= 0.0 || below <= 0.0 {
        return None;
    }
    let gain = (below / own * 10f64.powf(f64::from(ratio_db) / 20.0)) as f32;
    beneath.iter_mut().zip(sound).for_each(|(to, from)| *to += gain * from);
    let onset_s = samples_to_seconds(at as u64);
    let offset_s = samples_to_seconds((at + sound.len()) as u64);
    Some(Planted {
        kind: AnomalyKind::ForeignSound,
        label: label.to_owned(),
        ratio_db: Some(ratio_db),
        onset_s,
        offset_s,
        known_from_s: onset_s,
        unclear_until_s: offset_s,
    })
}

/// Foreign sounds of any kind at the times `at_s`, at the ratios of `recipe` in turn.
pub(super) fn plant_all(
    rng: &mut ChaCha8Rng,
    recipe: &SceneRecipe,
    samples: &mut [f32],
    foreign: &[(String, Vec<f32>)],
    at_s: &[f64],
) -> Vec<Planted> {
    let turn = rng.random_range(0..recipe.ratios_db.len());
    let mut planted = Vec::new();
    for (number, &at_s) in at_s.iter().enumerate() {
        let ratio_db = recipe.ratios_db[(turn + number) % recipe.ratios_db.len()];
        if foreign.is_empty() {
            break;
        }
        let (label, sound) = &foreign[rng.random_range(0..foreign.len())];
        planted.extend(plant(samples, label, sound, ratio_db, at_s));
    }
    planted
}

/// Foreign sounds in the quiet part. They have a random sequence of their own, so that the rest of the stream does not
/// depend on them.
pub(super) fn contaminate(
    recipe: &SceneRecipe,
    samples: &mut [f32],
    foreign: &[(String, Vec<f32>)],
    seed: u64,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    let quiet = samples.len().min(seconds_to_samples(recipe.quiet_s) as usize);
    let quiet = samples.get_mut(..quiet).unwrap_or_default();
    let mut left_s = recipe.contamination * recipe.quiet_s;
    while left_s > 0.0 && !foreign.is_empty() {
        let (label, sound) = &foreign[rng.random_range(0..foreign.len())];
        let length_s = samples_to_seconds(sound.len() as u64);
        let ratio_db = recipe.ratios_db[rng.random_range(0..recipe.ratios_db.len())];
        let at_s = rng.random_range(0.0..(recipe.quiet_s - length_s).max(0.1));
        plant(quiet, label, sound, ratio_db, at_s);
        left_s -= length_s.max(0.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::level_dbfs;

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
