//! The probe table: accuracy of linear classifiers on frozen features.

use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::columns::{Column, ColumnCard, Example};
use super::features::Features;
use super::logistic::{Probe, choose_c, wilson};
use super::table::{Cell, Row, Table};
use crate::corpus::Clip;
use crate::error::Result;

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs, numbered from 0: each has its own random weights and its own share of the clips to learn from.
    pub seeds: u64,
    /// Share of the clips of each class that a run learns from.
    pub share: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seeds: 3, share: 0.9 }
    }
}

/// How frames become a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Pooling {
    /// Mean and standard deviation over frames.
    #[serde(rename = "mean+std")]
    MeanStd,
    /// Mean over frames.
    #[serde(rename = "mean")]
    Mean,
}

impl Pooling {
    /// Its part of the vectors of [`super::frame_pooling::pool`].
    fn part(self, pooled: &Array2<f64>) -> ArrayView2<'_, f64> {
        match self {
            Self::MeanStd => pooled.view(),
            Self::Mean => pooled.view().split_at(Axis(1), pooled.ncols() / 2).0,
        }
    }
}

/// The penalty that cross-validation on the clips to learn from has chosen.
#[derive(Debug, Clone, Serialize)]
pub struct Chosen {
    /// The row.
    pub row: String,
    /// The column.
    pub column: String,
    /// How frames were pooled.
    pub pooling: Pooling,
    /// C.
    pub c: f64,
    /// Accuracy in the cross-validation, %.
    pub accuracy: f64,
}

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeTable {
    /// The columns.
    pub columns: Vec<ColumnCard>,
    /// Runs.
    pub seeds: u64,
    /// Accuracy in % with mean and standard deviation over frames: the main figures.
    pub mean_std: Table,
    /// Accuracy in % with the mean over frames alone.
    pub mean: Table,
    /// The penalties.
    pub chosen: Vec<Chosen>,
}

/// Called with what is done now, how much of it is done, and how much it is.
pub type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize);

/// Accuracy of linear probes on each of `features` (rows) for each of `columns`, whose indices point into `clips`.
///
/// C is chosen for each row and column by cross-validation over the clips to learn from, with the first run's
/// weights where they are random. No clip of a test takes part in anything but the accuracy.
///
/// # Errors
/// When a model or the solver fails.
pub fn measure(
    clips: &[Clip],
    columns: &[Column],
    features: &[Features],
    options: &Options,
    progress: Progress<'_>,
) -> Result<ProbeTable> {
    let mut table = empty(columns, options.seeds);
    let frames: usize = clips.iter().map(Clip::frames).sum();
    for source in features {
        let names = source.rows();
        let shown = names.join(", ");
        let instances = if source.depend_on_seed() { options.seeds } else { 1 };
        let mut pooled: Vec<Vec<Array2<f64>>> = Vec::new();
        for seed in 0..instances {
            let mut report = |done| progress(&format!("features: {shown}"), done, frames);
            pooled.push(source.pooled(clips, seed, &mut report)?);
        }
        let total = names.len() * columns.len();
        for (number, name) in names.iter().enumerate() {
            let of_row: Vec<&Array2<f64>> = pooled.iter().filter_map(|rows| rows.get(number)).collect();
            let (mut both, mut mean) = (Vec::new(), Vec::new());
            for (done, column) in columns.iter().enumerate() {
                progress(&format!("probes: {shown}"), number * columns.len() + done, total);
                for (pooling, cells) in [(Pooling::MeanStd, &mut both), (Pooling::Mean, &mut mean)] {
                    let vectors: Vec<ArrayView2<'_, f64>> = of_row.iter().map(|p| pooling.part(p)).collect();
                    let (cell, c, accuracy) = figure(&vectors, column, options)?;
                    cells.push(Some(cell));
                    table.chosen.push(Chosen {
                        row: name.clone(),
                        column: column.name.clone(),
                        pooling,
                        c,
                        accuracy: 100.0 * accuracy,
                    });
                }
            }
            table.mean_std.rows.push(Row { name: name.clone(), cells: both });
            table.mean.rows.push(Row { name: name.clone(), cells: mean });
        }
    }
    Ok(table)
}

/// Accuracy in % of a probe on mean and standard deviation of the last row of `source` (c of a model), for each
/// column, cross-validated over the clips to learn from: no clip of a test takes part. For choosing between models.
///
/// # Errors
/// When the model or the solver fails.
pub fn validated(clips: &[Clip], columns: &[Column], source: &Features) -> Result<Vec<f64>> {
    let pooled = source.pooled(clips, 0, &mut |_| ())?;
    let Some(last) = pooled.last() else { return Ok(Vec::new()) };
    let of_column = |column: &Column| {
        let groups: Vec<usize> = column.train.iter().map(|e| e.group).collect();
        let (x, y) = part(&last.view(), &column.train);
        Ok(100.0 * choose_c(x.view(), &y, &groups)?.1)
    };
    columns.iter().map(of_column).collect()
}

impl ProbeTable {
    /// Adds a row that was measured in another way, to both tables.
    pub fn push(&mut self, row: &Row) {
        self.mean_std.rows.push(row.clone());
        self.mean.rows.push(row.clone());
    }
}

fn empty(columns: &[Column], seeds: u64) -> ProbeTable {
    let guess = |column: &Column| Some(Cell::of(vec![100.0 / column.classes.len() as f64]));
    let start = |pooling: &str| Table {
        title: format!("Accuracy in % of a linear probe on {pooling} over frames"),
        columns: columns.iter().map(|column| column.name.clone()).collect(),
        rows: vec![Row { name: "guess".to_owned(), cells: columns.iter().map(guess).collect() }],
    };
    ProbeTable {
        columns: columns.iter().map(Column::card).collect(),
        seeds,
        mean_std: start("mean and standard deviation"),
        mean: start("the mean"),
        chosen: Vec::new(),
    }
}

/// Accuracy over the runs, the C it was reached with, and the accuracy of C in cross-validation. One of `vectors`
/// for each run, or one for all.
fn figure(vectors: &[ArrayView2<'_, f64>], column: &Column, options: &Options) -> Result<(Cell, f64, f64)> {
    let Some(first) = vectors.first() else { return Ok((Cell::of(Vec::new()), 0.0, 0.0)) };
    let groups: Vec<usize> = column.train.iter().map(|e| e.group).collect();
    let (x, y) = part(first, &column.train);
    let (c, validated) = choose_c(x.view(), &y, &groups)?;
    let mut runs = Vec::new();
    for (seed, vectors) in (0..options.seeds).zip(vectors.iter().cycle()) {
        let (x, y) = part(vectors, &drawn(&column.train, options.share, seed));
        let (asked, answers) = part(vectors, &column.test);
        runs.push(100.0 * Probe::fit(x.view(), &y, c, None)?.accuracy(asked.view(), &answers));
    }
    Ok((tested(runs, column.test.len()), c, validated))
}

/// The figure of these runs, in %, with the interval that `asked` test clips leave.
pub(super) fn tested(runs: Vec<f64>, asked: usize) -> Cell {
    let cell = Cell::of(runs);
    let (low, high) = wilson(cell.mean / 100.0, asked);
    cell.within(100.0 * low, 100.0 * high)
}

fn part(vectors: &ArrayView2<'_, f64>, examples: &[Example]) -> (Array2<f64>, Vec<usize>) {
    let rows: Vec<usize> = examples.iter().map(|e| e.clip).collect();
    (vectors.select(Axis(0), &rows), examples.iter().map(|e| e.class).collect())
}

/// `share` of the examples of each class, at least one.
pub(super) fn drawn(examples: &[Example], share: f64, seed: u64) -> Vec<Example> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shuffled = examples.to_vec();
    shuffled.shuffle(&mut rng);
    shuffled.sort_by_key(|e| e.class);
    shuffled
        .chunk_by(|a, b| a.class == b.class)
        .flat_map(|class| class.iter().take((share * class.len() as f64).ceil().max(1.0) as usize))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two clusters of `n` points each in two dimensions, `distance` apart, with some noise of `seed`.
    fn clusters(n: usize, distance: f64, seed: u64) -> (Array2<f64>, Vec<Example>) {
        use rand::RngExt;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let points = (0..2 * n).flat_map(|i| {
            let centre = if i % 2 == 0 { 0.0 } else { distance };
            [centre + rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)]
        });
        let x = Array2::from_shape_vec((2 * n, 2), points.collect()).unwrap();
        let examples = (0..2 * n).map(|i| Example { clip: i, class: i % 2, group: i / 2 % 3 }).collect();
        (x, examples)
    }

    fn column(mut examples: Vec<Example>, test: usize) -> Column {
        let test = examples.split_off(examples.len() - test);
        let text = String::new;
        let classes = vec!["a".to_owned(), "b".to_owned()];
        Column { name: text(), set: text(), detail: text(), classes, train: examples, test }
    }

    #[test]
    fn clusters_are_told_apart_and_noise_is_not() {
        let score = |distance| {
            let (x, examples) = clusters(60, distance, 3);
            figure(&[x.view()], &column(examples, 40), &Options::default()).unwrap().0
        };
        assert_eq!(score(4.0).mean, 100.0);
        let noise = score(0.0);
        assert!(noise.mean < 75.0, "{noise:?}");
        assert!(noise.interval.is_some_and(|(low, high)| low < noise.mean && noise.mean < high));
    }

    #[test]
    fn a_run_learns_from_its_share_of_each_class() {
        let (_, examples) = clusters(20, 1.0, 1);
        let some = drawn(&examples, 0.9, 1);
        assert_eq!(some.len(), 36);
        assert_eq!(some.iter().filter(|e| e.class == 0).count(), 18);
        assert_ne!(some, drawn(&examples, 0.9, 2));
        assert_eq!(drawn(&examples[..2], 0.1, 0).len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_choice_of_c_does_not_see_the_test(seed: u64, flips in prop::collection::vec(any::<bool>(), 20)) {
            let (x, examples) = clusters(30, 1.0, seed);
            let honest = column(examples, 20);
            let mut other = honest.clone();
            let mut hidden = x.clone();
            for (example, flip) in other.test.iter_mut().zip(&flips) {
                example.class ^= usize::from(*flip);
                hidden.row_mut(example.clip).fill(if *flip { 1e3 } else { -1e3 });
            }
            let options = Options { seeds: 1, ..Options::default() };
            let (_, c, validated) = figure(&[x.view()], &honest, &options).unwrap();
            let (_, other_c, other_validated) = figure(&[hidden.view()], &other, &options).unwrap();
            prop_assert_eq!((c, validated), (other_c, other_validated));
            // opposite labels in the test turn every right answer into a wrong one and change nothing else
            let mut opposite = honest.clone();
            opposite.test.iter_mut().for_each(|e| e.class ^= 1);
            let (right, ..) = figure(&[x.view()], &honest, &options).unwrap();
            let (wrong, ..) = figure(&[x.view()], &opposite, &options).unwrap();
            prop_assert!((right.mean + wrong.mean - 100.0).abs() < 1e-9);
        }
    }
}
