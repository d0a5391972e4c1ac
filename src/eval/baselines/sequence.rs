//! Neighbours of the last 1.2 seconds.

use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::groups::{GROUPS, Groups, STEPS_PER_S};
use super::{Baseline, ROW, StreamFeatures};
use crate::error::{Error, Result};

/// Steps of a sequence: 1.2 s.
const LENGTH: usize = 12 * STEPS_PER_S / 10;
/// Principal components that are kept, and more that help to find them.
const KEPT: usize = 96;
const MORE: usize = 16;
const ROUNDS: usize = 8;
/// Neighbours.
const NEAREST: usize = 3;
/// Sequences that end within so many steps are no neighbours: they share sound.
const APART: usize = 2 * LENGTH;
/// Sequences that are compared at once.
const PIECE: usize = 256;

/// Distance of the last 1.2 s of 16 groups of bands at 50 Hz to the 3 nearest sequences of the quiet part: in the space of
/// its first 96 principal components, and what lies outside of it.
#[derive(Debug, Clone, Copy)]
pub struct Sequence;

impl Baseline for Sequence {
    fn name(&self) -> &'static str {
        "nearest neighbour 1.2 s"
    }

    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>> {
        let groups = Groups::of(sound, quiet);
        let known = groups.known;
        if known < LENGTH + 2 * APART {
            return Err(Error::config(
                format!("{:.1} s to remember sequences of", known as f64 / STEPS_PER_S as f64),
                "give a longer quiet part",
            ));
        }
        let axes = principal(&groups.gram(LENGTH, LENGTH - 1..known));
        let ends: Vec<usize> = (LENGTH..=known).collect();
        let memory = project(&groups, &axes, &ends);
        let squares: Vec<f64> = memory.column_iter().map(|m| m.norm_squared()).collect();
        let rows: Vec<usize> =
            (0..sound.frames() / ROW).map(|row| Groups::end_of_row(row).min(groups.steps())).collect();
        let mut scores = vec![0.0; rows.iter().take_while(|&&end| end < LENGTH).count()];
        let received: Vec<usize> = rows.into_iter().filter(|&end| end >= LENGTH).collect();
        for piece in received.chunks(PIECE) {
            let queries = project(&groups, &axes, piece);
            let products = memory.transpose() * &queries;
            for (&end, products) in piece.iter().zip(products.column_iter()) {
                let whole: f64 = groups.window(end - LENGTH, end).iter().map(|x| x * x).sum();
                let far = |i: usize| squares[i] + whole - 2.0 * products[i];
                let apart = (0..memory.ncols()).filter(|&i| end.abs_diff(ends[i]) >= APART);
                scores.push(nearest(apart.map(far)));
            }
        }
        Ok(scores)
    }
}

/// Mean of the distances of the nearest, from squares.
fn nearest(squares: impl Iterator<Item = f64>) -> f64 {
    let mut best = [f64::INFINITY; NEAREST];
    for square in squares {
        if square < best[NEAREST - 1] {
            best[NEAREST - 1] = square;
            best.sort_by(f64::total_cmp);
        }
    }
    best.iter().map(|x| x.max(0.0).sqrt()).sum::<f64>() / NEAREST as f64
}

/// The first principal axes, one a column, by subspace iteration.
fn principal(gram: &DMatrix<f64>) -> DMatrix<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(96);
    let width = (KEPT + MORE).min(gram.nrows());
    let mut axes = DMatrix::from_fn(gram.nrows(), width, |_, _| rng.random_range(-1.0..1.0));
    for _ in 0..ROUNDS {
        axes = (gram * axes).qr().q();
    }
    let turned = (axes.transpose() * gram * &axes).symmetric_eigen();
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| turned.eigenvalues[b].total_cmp(&turned.eigenvalues[a]));
    order.truncate(KEPT);
    &axes * turned.eigenvectors.select_columns(&order)
}

/// The sequences that end before each of the steps `ends`, one a column.
fn project(groups: &Groups, axes: &DMatrix<f64>, ends: &[usize]) -> DMatrix<f64> {
    let flat: Vec<f64> = ends.iter().flat_map(|&end| groups.window(end - LENGTH, end)).copied().collect();
    axes.transpose() * DMatrix::from_vec(LENGTH * GROUPS, ends.len(), flat)
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::beats;
    use super::*;

    #[test]
    fn an_unseen_sequence_is_far() {
        let sound = beats(5000, 70, &[50]);
        let scores = Sequence.scores(&sound, 3000 / ROW).unwrap();
        assert_eq!(scores.len(), 1000);
        let due = 50 * 70 / ROW;
        let at_beat = scores[due + 2..due + 20].iter().copied().fold(0.0, f64::max);
        let elsewhere = scores[600..due].iter().copied().fold(0.0, f64::max);
        assert!(at_beat > 1.05 * elsewhere, "{at_beat} after the missing beat, {elsewhere} before");
        assert!(Sequence.scores(&beats(300, 70, &[]), 50).is_err());
    }

    #[test]
    fn axes_are_those_of_the_largest_spread() {
        let scale = |i: usize| 1.0 / (1 + i) as f64;
        let gram = DMatrix::from_fn(200, 200, |i, j| if i == j { scale(i) } else { 0.0 });
        let axes = principal(&gram);
        assert_eq!(axes.ncols(), KEPT);
        for i in 0..20 {
            assert!(axes[(i, i)].abs() > 0.99, "axis {i}: {}", axes[(i, i)]);
        }
        let unit = axes.transpose() * &axes - DMatrix::identity(KEPT, KEPT);
        assert!(unit.norm() < 1e-9);
    }
}
