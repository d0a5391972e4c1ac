//! Few-shot labels: how well sounds are known again by one example or five, and whether unknown ones stay unknown.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, ArrayView1, Axis, concatenate, s};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::columns::{Column, ColumnCard, Example};
use super::features::Features;
use super::probe::Progress;
use super::sounds_in_sites::{Scene, SitesTable, direction, occurrences, unit};
use super::table::{Cell, Row, Table};
use crate::corpus::{Clip, Selection};
use crate::error::{Error, Result};
use crate::nn::LabelSpace;
use crate::roc::Roc;

/// Coordinates of a block of a space.
const COORDINATES: usize = 96;
/// Share of the largest variance that is added to each, so that directions without sound are not blown up.
const FLOOR: f64 = 1e-3;
/// Examples of a label.
const SHOTS: [usize; 2] = [1, 5];
/// Share of unknown sounds that may get a label at the threshold of [`LabelsTable::thresholds`].
const FALSE_LABELS: f64 = 0.05;

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Draws of known labels and of their examples.
    pub episodes: u64,
    /// Where the sounds that are asked for come from.
    pub split: Selection,
    /// Cosine from which a sound gets a label.
    pub least: f64,
}

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct LabelsTable {
    /// The tasks.
    pub columns: Vec<ColumnCard>,
    /// Draws.
    pub episodes: u64,
    /// Right among the known labels, %.
    pub accuracy: Table,
    /// Area under the curve of known against unknown sounds by the highest cosine, %.
    pub auroc: Table,
    /// Known sounds that get their label at the cosine of the daemon, %.
    pub labelled: Table,
    /// Unknown sounds that get a label at that cosine, %.
    pub mislabelled: Table,
    /// Cosine at which 5 % of the unknown sounds get a label.
    pub thresholds: Table,
    /// Sounds in sites, where there are any.
    pub sites: SitesTable,
}

/// The space of the rows of `pooled` (mean and standard deviation of features, a clip a row): whitened principal components of each
/// block of columns, which end at `ends`, side by side. A cosine is then the mean over blocks, as long as a sound is as far out in one as in
/// another.
///
/// # Errors
/// When there are too few rows, or they are all alike.
pub fn fit(pooled: &Array2<f64>, ends: &[usize]) -> Result<LabelSpace> {
    let (rows, width) = pooled.dim();
    let few = || {
        Error::config("too few clips for a label space", "give a manifest with more clips of split = train")
    };
    let mean = pooled.mean_axis(Axis(0)).filter(|_| rows > 1).ok_or_else(few)?;
    let deviation = pooled.std_axis(Axis(0), 0.0).mapv(|x| x + 1e-6);
    let scaled = (pooled - &mean) / &deviation;
    let mut axes: Vec<f32> = Vec::new();
    for (at, &end) in ends.iter().enumerate() {
        let block = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0)..end;
        let part = scaled.slice(s![.., block.clone()]);
        let covariance = part.t().dot(&part) / (rows - 1) as f64;
        let eigen =
            SymmetricEigen::new(DMatrix::from_fn(block.len(), block.len(), |i, j| covariance[[i, j]]));
        let mut order: Vec<(f64, usize)> = eigen.eigenvalues.iter().copied().zip(0..).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let floor = FLOOR * order.first().map_or(0.0, |(largest, _)| *largest);
        for &(variance, at) in order.iter().take(COORDINATES.min(rows - 1)) {
            let length = (variance.max(0.0) + floor).sqrt().max(1e-9);
            let mut axis = vec![0.0; width];
            let own = axis.get_mut(block.clone()).unwrap_or_default().iter_mut();
            let of_block = eigen.eigenvectors.column(at);
            let deviations = deviation.iter().skip(block.start);
            own.zip(of_block.iter()).zip(deviations).for_each(|((to, x), d)| *to = (x / length / d) as f32);
            axes.extend(axis);
        }
    }
    LabelSpace::new(mean.iter().map(|&x| x as f32).collect(), axes).ok_or_else(few)
}

/// A row of the tables: its features of each clip, and where its blocks of columns end.
struct LabelFeatures {
    name: String,
    pooled: Array2<f64>,
    ends: Vec<usize>,
}

/// Mean and standard deviation of z, c and bands of each clip for a model, in the order of the daemon, z and c being a block and bands
/// another; else the single rows of `source`.
fn named(source: &Features, clips: &[Clip], report: &mut dyn FnMut(usize)) -> Result<Vec<LabelFeatures>> {
    let mut pooled = source.pooled(clips, 0, report)?;
    let mut from = None;
    if !matches!(source, Features::Spectral) {
        from = Some(pooled.iter().map(Array2::ncols).sum());
        pooled.extend(Features::Spectral.pooled(clips, 0, &mut |_| ())?.pop());
        let parts: Vec<_> = pooled.iter().map(Array2::view).collect();
        pooled = vec![concatenate(Axis(1), &parts).map_err(|e| Error::internal(e.to_string()))?];
    }
    let rows = source.label_rows().into_iter().zip(pooled).map(|(name, pooled)| {
        let width = pooled.ncols();
        LabelFeatures { name, pooled, ends: from.into_iter().chain([width]).collect() }
    });
    Ok(rows.collect())
}

/// Rows of the clips that spaces are fitted to.
fn taught(clips: &[Clip]) -> Vec<usize> {
    let train = clips.iter().enumerate().filter(|(_, clip)| clip.row.is(Selection::Train));
    train.map(|(row, _)| row).collect()
}

/// The space of a model's z, c and bands over the clips with split = train.
///
/// # Errors
/// When the model fails or there are too few clips.
pub fn space_of(source: &Features, clips: &[Clip], progress: Progress<'_>) -> Result<LabelSpace> {
    let frames = clips.iter().map(Clip::frames).sum();
    let rows = named(source, clips, &mut |done| progress("label space", done, frames))?;
    let row = rows.first().ok_or_else(|| Error::internal("a source without features"))?;
    fit(&row.pooled.select(Axis(0), &taught(clips)), &row.ends)
}

/// Figures of each of `features` (rows) for each of `columns`, whose indices point into `clips`. Every row has a space of its own, fitted
/// to the clips with split = train without their labels; the sounds of `scenes` are compared by the same spaces. In each episode half of
/// the labels are known, by examples of split = train; sounds of all labels are asked for. With [`Selection::Train`] these are of other groups (folds, speakers)
/// of split = train.
///
/// # Errors
/// When a model fails.
pub fn measure(
    clips: &[Clip],
    columns: &[Column],
    (features, scenes): (&[Features], &[Scene]),
    options: &Options,
    progress: Progress<'_>,
) -> Result<LabelsTable> {
    let mut table = empty(columns, options);
    let frames = clips.iter().map(Clip::frames).sum();
    for source in features {
        let shown = source.rows().join(", ");
        let rows = named(source, clips, &mut |done| progress(&format!("features: {shown}"), done, frames))?;
        let in_sites =
            occurrences(source, scenes, &mut |n| progress(&format!("sites: {shown}"), n, scenes.len()))?;
        for (LabelFeatures { name, pooled, ends }, (_, in_sites)) in rows.into_iter().zip(in_sites) {
            let space = fit(&pooled.select(Axis(0), &taught(clips)), &ends)?;
            table.sites.add(&name, &space, &in_sites, options.least);
            let directions = directions(&space, &pooled);
            let mut cells: [Vec<Option<Cell>>; 5] = Default::default();
            for column in columns {
                for shots in SHOTS {
                    let found = (0..options.episodes)
                        .filter_map(|n| episode(&directions, column, (shots, n), options));
                    let found: Vec<[f64; 5]> = found.collect();
                    for (at, cells) in cells.iter_mut().enumerate() {
                        let of = found.iter().filter_map(|figures| figures.get(at).copied()).collect();
                        cells.push(Some(Cell::of(of)));
                    }
                }
            }
            let tables = [
                &mut table.accuracy,
                &mut table.auroc,
                &mut table.labelled,
                &mut table.mislabelled,
                &mut table.thresholds,
            ];
            for (table, cells) in tables.into_iter().zip(cells) {
                table.rows.push(Row { name: name.clone(), cells });
            }
        }
    }
    Ok(table)
}

/// Each clip as the daemon keeps an example, of length 1.
fn directions(space: &LabelSpace, pooled: &Array2<f64>) -> Vec<Vec<f64>> {
    let of = |row: ArrayView1<'_, f64>| direction(space, &row.to_vec(), &[]);
    pooled.rows().into_iter().map(of).collect()
}

/// Accuracy, area, share of known sounds that get their label, share of unknown ones that get one, and threshold. None where nothing
/// is known or unknown.
fn episode(
    directions: &[Vec<f64>],
    column: &Column,
    (shots, number): (usize, u64),
    options: &Options,
) -> Option<[f64; 5]> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let mut labels: Vec<usize> = (0..column.classes.len()).collect();
    labels.shuffle(&mut rng);
    let known = labels.get(..labels.len() / 2)?;
    let mut examples = column.train.clone();
    examples.shuffle(&mut rng);
    let asked: Vec<Example> = match options.split {
        Selection::Eval => column.test.clone(),
        Selection::Train => {
            let mut groups: Vec<usize> = examples.iter().map(|e| e.group).collect();
            groups.sort_unstable();
            groups.dedup();
            groups.shuffle(&mut rng);
            groups.truncate((groups.len() / 3).max(1));
            let (asked, rest) = examples.into_iter().partition(|e| groups.contains(&e.group));
            examples = rest;
            asked
        }
    };
    let mean = |label: usize| {
        let mut sum: Vec<f64> = Vec::new();
        for example in examples.iter().filter(|e| e.class == label).take(shots) {
            let direction = directions.get(example.clip)?;
            sum.resize(direction.len(), 0.0);
            sum.iter_mut().zip(direction).for_each(|(s, x)| *s += x);
        }
        Some((label, unit(sum))).filter(|(_, mean)| !mean.is_empty())
    };
    let means: Vec<(usize, Vec<f64>)> = known.iter().filter_map(|&label| mean(label)).collect();
    let (mut right, mut labelled) = (0usize, 0usize);
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for example in &asked {
        let direction = directions.get(example.clip)?;
        let cosine = |mean: &[f64]| mean.iter().zip(direction).map(|(a, b)| a * b).sum::<f64>();
        let best = means.iter().map(|(label, mean)| (*label, cosine(mean)));
        let (label, cosine) = best.max_by(|a, b| a.1.total_cmp(&b.1))?;
        if known.contains(&example.class) {
            of_known.push(cosine);
            right += usize::from(label == example.class);
            labelled += usize::from(label == example.class && cosine >= options.least);
        } else {
            of_unknown.push(cosine);
        }
    }
    let roc = Roc::of(&of_known, &of_unknown)?;
    let share = |count: usize, of: &[f64]| 100.0 * count as f64 / of.len().max(1) as f64;
    let mislabelled = of_unknown.iter().filter(|cosine| **cosine >= options.least).count();
    of_unknown.sort_by(f64::total_cmp);
    let place = ((1.0 - FALSE_LABELS) * of_unknown.len() as f64) as usize;
    let threshold = of_unknown.get(place.min(of_unknown.len().saturating_sub(1))).copied()?;
    Some([
        share(right, &of_known),
        100.0 * roc.auc(),
        share(labelled, &of_known),
        share(mislabelled, &of_unknown),
        threshold,
    ])
}

fn empty(columns: &[Column], options: &Options) -> LabelsTable {
    let titles = columns.iter().flat_map(|column| {
        SHOTS.map(|shots| format!("{} ({}), {shots}-shot", column.name, column.classes.len() / 2))
    });
    let titles: Vec<String> = titles.collect();
    let start = |title: String| Table { title, columns: titles.clone(), rows: Vec::new() };
    let least = options.least;
    LabelsTable {
        columns: columns.iter().map(Column::card).collect(),
        episodes: options.episodes,
        accuracy: start("Accuracy in % among the known labels".to_owned()),
        auroc: start("AUROC in % of known against unknown sounds".to_owned()),
        labelled: start(format!("Known sounds that get their label at a cosine of {least}, %")),
        mislabelled: start(format!("Unknown sounds that get a label at a cosine of {least}, %")),
        thresholds: start("Cosine at which 5 % of the unknown sounds get a label".to_owned()),
        sites: SitesTable::new(least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Four classes of 12 clips, `apart` from each other in 8 dimensions with noise in one direction that says nothing.
    fn column(apart: f64) -> (Array2<f64>, Column) {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut x = Array2::zeros((48, 8));
        for ((row, at), value) in x.indexed_iter_mut() {
            let noise: f64 = rng.random_range(-1.0..1.0);
            let class = if at == row % 4 { apart } else { 0.0 };
            *value = class + if at == 7 { 30.0 * noise } else { noise };
        }
        let example = |clip: usize| Example { clip, class: clip % 4, group: clip / 4 % 3 };
        let classes = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let (train, test) = ((0..24).map(example).collect(), (24..48).map(example).collect());
        (x, Column { name: "class".into(), set: "s".into(), detail: String::new(), classes, train, test })
    }

    fn mean_of(apart: f64, split: Selection) -> [f64; 5] {
        let (x, column) = column(apart);
        let space = fit(&x.slice(s![..24, ..]).to_owned(), &[8]).unwrap();
        let directions = directions(&space, &x);
        let options = Options { episodes: 20, split, least: 0.5 };
        let mut sum = [0.0; 5];
        for number in 0..20 {
            let found = episode(&directions, &column, (5, number), &options).unwrap();
            sum.iter_mut().zip(found).for_each(|(s, x)| *s += x / 20.0);
        }
        sum
    }

    #[test]
    fn classes_apart_are_known_again_and_noise_is_not() {
        for split in [Selection::Eval, Selection::Train] {
            let [accuracy, auroc, labelled, mislabelled, _] = mean_of(6.0, split);
            assert!(accuracy > 85.0 && auroc > 85.0, "{accuracy} {auroc}");
            assert!(labelled > 30.0 && mislabelled < labelled / 2.0, "{labelled} {mislabelled}");
        }
        let [accuracy, auroc, ..] = mean_of(0.0, Selection::Eval);
        assert!((30.0..70.0).contains(&accuracy) && (35.0..65.0).contains(&auroc), "{accuracy} {auroc}");
    }

    #[test]
    fn a_space_is_white() {
        let (x, _) = column(0.0);
        let space = fit(&x, &[5, 8]).unwrap();
        let z: Vec<Vec<f64>> =
            x.rows().into_iter().map(|row| space.project(&row.to_vec()).unwrap()).collect();
        for at in 0..8 {
            let variance = z.iter().map(|z| z[at] * z[at]).sum::<f64>() / 47.0;
            assert!((0.9..1.01).contains(&variance), "{at}: {variance}");
        }
        assert!(fit(&x.slice(s![..1, ..]).to_owned(), &[8]).is_err());
    }
}
