//! Sounds in sites: how well a space of labels distinguishes them in one site and across sites.

use std::ops::Range;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::features::Features;
use super::frame_pooling::pool;
use super::table::{Cell, Row, Table};
use crate::corpus::rare::Material;
use crate::error::Result;
use crate::nn::LabelSpace;
use crate::roc::Roc;
use crate::units::{FRAME_RATE, HOP, rms};

/// Frames of a scene, and those at its beginning that hold the site alone.
const FRAMES: usize = 64 * FRAME_RATE as usize;
const QUIET: usize = 6 * FRAME_RATE as usize;
/// Frames of a pause between two sounds.
const PAUSE: usize = 180;
/// Sounds of a scene, each of which comes twice.
const SOUNDS: usize = 8;
/// Levels of a sound over its site, dB.
const RATIOS_DB: [f64; 5] = [-3.0, 3.0, 9.0, 15.0, 21.0];
/// Root mean square below which a sound counts as silent.
const SILENT: f64 = 1e-6;
/// Scenes in which a sound comes, on the average, and most sounds.
const TIMES: usize = 3;
const MOST: usize = 240;
/// Frames after which a sound is in z and c.
const LATE: usize = 2;

/// A site with foreign sounds.
#[derive(Debug, Clone)]
pub struct Scene {
    site: usize,
    samples: Vec<f32>,
    /// Numbers of its sounds, and the frames that they last.
    sounds: Vec<(usize, Range<usize>)>,
}

/// A sound in a site, as the daemon pools it.
#[derive(Debug, Clone)]
pub struct Occurrence {
    sound: usize,
    site: usize,
    /// Mean and standard deviation of each feature over its frames.
    pooled: Vec<f64>,
    /// The same of quiet seconds of the site.
    background: Vec<f64>,
}

/// Scenes of the foreign sounds and backgrounds of `material`: every sound in about three of them.
#[must_use]
pub fn scenes(material: &Material, seed: u64) -> Vec<Scene> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = |count: usize| {
        let mut of: Vec<usize> = (0..count).collect();
        of.shuffle(&mut rng);
        of
    };
    let mut sounds = drawn(material.foreign.len());
    sounds.truncate(MOST);
    let sites = drawn(material.backgrounds.len());
    let count = if sites.is_empty() { 0 } else { sounds.len() * TIMES / SOUNDS };
    let mut order = sounds.iter().copied().cycle();
    (0..count)
        .map(|n| {
            let site = sites.get(n % sites.len()).copied().unwrap_or_default();
            let chosen: Vec<usize> = order.by_ref().take(SOUNDS).collect();
            scene(material, site, &chosen, &mut rng)
        })
        .collect()
}

fn scene(material: &Material, site: usize, chosen: &[usize], rng: &mut ChaCha8Rng) -> Scene {
    let pieces = material.backgrounds.get(site).map(|b| b.clips.as_slice()).unwrap_or_default();
    let mut samples: Vec<f32> = pieces.iter().flatten().copied().cycle().take(FRAMES * HOP).collect();
    let level = rms(&samples).max(SILENT);
    let (mut sounds, mut at) = (Vec::new(), QUIET);
    for &sound in chosen.iter().chain(chosen) {
        let Some((_, active)) = material.foreign.get(sound) else { continue };
        let ratio = RATIOS_DB.get(rng.random_range(0..RATIOS_DB.len())).copied().unwrap_or_default();
        let gain = (level / rms(active).max(SILENT) * 10f64.powf(ratio / 20.0)) as f32;
        let end = at + active.len() / HOP;
        let Some(place) = samples.get_mut(at * HOP..end * HOP).filter(|_| end + LATE <= FRAMES) else {
            break;
        };
        place.iter_mut().zip(active).for_each(|(x, y)| *x += gain * y);
        sounds.push((sound, at + LATE..end + LATE));
        at = end + PAUSE;
    }
    Scene { site, samples, sounds }
}

/// The sounds of `scenes` by the features of `source`: z, c and bands together for a model, else each kind by itself. `progress` is
/// called with the scenes done.
///
/// # Errors
/// When the model fails.
pub fn occurrences(
    source: &Features,
    scenes: &[Scene],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<(String, Vec<Occurrence>)>> {
    let names = source.label_rows();
    let mut rows: Vec<(String, Vec<Occurrence>)> = names.into_iter().map(|name| (name, Vec::new())).collect();
    let joined = rows.len() == 1;
    let frames_of = source.frames_of(0)?;
    for (done, scene) in scenes.iter().enumerate() {
        let kinds = frames_of(&scene.samples)?;
        let pooled = |of: &[(Vec<f32>, usize)], frames: Range<usize>| -> Vec<f64> {
            let pooled = of.iter().map(|(values, width)| {
                let part = values.get(frames.start * width..frames.end * width).unwrap_or_default();
                pool(part, *width, &vec![true; frames.len()])
            });
            pooled.flatten().collect()
        };
        let whole = kinds.as_slice();
        for (at, (_, row)) in rows.iter_mut().enumerate() {
            let of = if joined { whole } else { whole.get(at..=at).unwrap_or_default() };
            let second = FRAME_RATE as usize;
            let seconds = (second..QUIET).step_by(second).map(|from| pooled(of, from..from + second));
            let background = mean(seconds);
            row.extend(scene.sounds.iter().map(|(sound, frames)| Occurrence {
                sound: *sound,
                site: scene.site,
                pooled: pooled(of, frames.clone()),
                background: background.clone(),
            }));
        }
        progress(done + 1);
    }
    Ok(rows)
}

fn mean(rows: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0.0);
    for row in rows {
        sum.resize(row.len(), 0.0);
        sum.iter_mut().zip(&row).for_each(|(sum, x)| *sum += x);
        count += 1.0;
    }
    sum.iter_mut().for_each(|x| *x /= f64::max(count, 1.0));
    sum
}

/// How well sounds are distinguished, %.
#[derive(Debug, Clone, Serialize)]
pub struct SitesTable {
    /// Area under the curve of one sound against others, in one site and across sites.
    pub auroc: Table,
    /// Pairs at or above the cosine of the daemon.
    pub alike: Table,
    /// The same with what sounds have in common with their site.
    pub with_site: Table,
}

impl SitesTable {
    /// A table without rows; `least` is the cosine of the daemon.
    #[must_use]
    pub fn new(least: f64) -> Self {
        let table = |title: String, columns: &[&str]| Table {
            title,
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        };
        let pairs =
            ["one sound, one site", "two sounds, one site", "one sound, two sites", "two sounds, two sites"];
        let alike = format!("Pairs whose cosine is {least} or more, %");
        Self {
            auroc: table(
                "AUROC in % of pairs of one sound against pairs of two".to_owned(),
                &["in one site", "across sites", "in one site, with it", "across sites, with them"],
            ),
            with_site: table(format!("{alike}, with the site"), &pairs),
            alike: table(alike, &pairs),
        }
    }

    /// Adds the row of `name`.
    pub fn add(&mut self, name: &str, space: &LabelSpace, occurrences: &[Occurrence], least: f64) {
        let without = cosines(space, occurrences, |it| &it.background);
        let with = cosines(space, occurrences, |_| &[]);
        let areas = [&without, &with].map(|[one_here, two_here, one_there, two_there]| {
            let area =
                |one: &[f64], two: &[f64]| Roc::of(one, two).map(|roc| Cell::of(vec![100.0 * roc.auc()]));
            [area(one_here, two_here), area(one_there, two_there)]
        });
        let share = |of: Vec<f64>| {
            let above = of.iter().filter(|cosine| **cosine >= least).count();
            (!of.is_empty()).then(|| Cell::of(vec![100.0 * above as f64 / of.len() as f64]))
        };
        let row = |cells| Row { name: name.to_owned(), cells };
        self.auroc.rows.push(row(areas.concat()));
        self.alike.rows.push(row(without.map(share).to_vec()));
        self.with_site.rows.push(row(with.map(share).to_vec()));
    }
}

/// The embedding as the daemon keeps it, of length 1.
pub(super) fn direction(space: &LabelSpace, pooled: &[f64], background: &[f64]) -> Vec<f64> {
    let embedding = space.embed(pooled, background).unwrap_or_default();
    unit(embedding.into_iter().map(f64::from).collect())
}

/// To length 1.
pub(super) fn unit(mut x: Vec<f64>) -> Vec<f64> {
    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
    x.iter_mut().for_each(|x| *x /= length);
    x
}

/// The cosines of all pairs: of one sound and of two in one site, then the same in two sites. `site` is what is taken off.
fn cosines(
    space: &LabelSpace,
    occurrences: &[Occurrence],
    site: impl Fn(&Occurrence) -> &[f64],
) -> [Vec<f64>; 4] {
    let directions: Vec<(&Occurrence, Vec<f64>)> =
        occurrences.iter().map(|it| (it, direction(space, &it.pooled, site(it)))).collect();
    let mut cosines: [Vec<f64>; 4] = Default::default();
    for (n, (a, x)) in directions.iter().enumerate() {
        for (b, y) in directions.iter().take(n) {
            let at = usize::from(a.sound != b.sound) + 2 * usize::from(a.site != b.site);
            cosines[at].push(x.iter().zip(y).map(|(x, y)| x * y).sum());
        }
    }
    cosines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12 sounds in 6 sites: a sound has its own direction in 6 dimensions, and a site moves everything along its own in 6 others.
    fn occurrences(seed: u64) -> Vec<Occurrence> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut direction = |from: usize| -> Vec<f64> {
            (0..12)
                .map(|i| if (from..from + 6).contains(&i) { rng.random_range(-1.0..1.0) } else { 0.0 })
                .collect()
        };
        let sounds: Vec<Vec<f64>> = (0..12).map(|_| direction(0)).collect();
        let sites: Vec<Vec<f64>> = (0..6).map(|_| direction(6)).collect();
        let mut all = Vec::new();
        for (site, of_site) in sites.iter().enumerate() {
            for (sound, of_sound) in sounds.iter().enumerate() {
                let noise = rng.random_range(-0.1..0.1);
                let pooled = of_site.iter().zip(of_sound).map(|(a, b)| 5.0 * a + b + noise).collect();
                all.push(Occurrence {
                    sound,
                    site,
                    pooled,
                    background: of_site.iter().map(|a| 5.0 * a).collect(),
                });
            }
        }
        all
    }

    #[test]
    fn two_sounds_are_not_alike_because_they_are_of_one_site() {
        let axes = (0..144).map(|at| if at % 13 == 0 { 1.0 } else { 0.0 }).collect();
        let space = LabelSpace::new(vec![0.0; 12], axes).unwrap();
        let mut table = SitesTable::new(0.5);
        table.add("z", &space, &occurrences(2), 0.5);
        let cells = |table: &Table| -> Vec<Option<f64>> {
            table.rows[0].cells.iter().map(|cell| cell.as_ref().map(|cell| cell.mean)).collect()
        };
        let (auroc, alike, with) = (cells(&table.auroc), cells(&table.alike), cells(&table.with_site));
        // each sound once a site
        assert_eq!((auroc[0], alike[0], with[0]), (None, None, None));
        assert!(auroc[1].unwrap() > 95.0 && auroc[3].unwrap() < 80.0, "{auroc:?}");
        assert!(
            alike[1].unwrap() < 30.0 && alike[2].unwrap() > 80.0 && alike[3].unwrap() < 30.0,
            "{alike:?}"
        );
        assert!(with[1].unwrap() > 80.0, "{with:?}");
    }

    #[test]
    fn a_scene_holds_each_sound_twice_over_its_site() {
        let material = Material::synthetic(3);
        let scenes = scenes(&material, 5);
        assert!(!scenes.is_empty());
        for scene in &scenes {
            assert_eq!(scene.samples.len(), FRAMES * HOP);
            assert!(scene.samples.iter().all(|x| x.is_finite()));
            assert!(scene.sounds.first().is_none_or(|(_, frames)| frames.start >= QUIET));
            assert!(scene.sounds.windows(2).all(|w| w[0].1.end < w[1].1.start));
            assert!(scene.sounds.iter().all(|(_, frames)| frames.end <= FRAMES));
        }
    }
}
