//! Receiver operating characteristics.

use serde::Serialize;

/// False-positive rate up to which [`Roc::partial_auc`] looks.
pub(crate) const MAX_FPR: f64 = 0.1;

/// How well a score sets positives above negatives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Roc {
    /// (false-positive rate, true-positive rate) from (0, 0) to (1, 1), one for each distinct score from the highest
    /// down.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Roc {
    /// Of the scores of positives and of negatives; none where one of them is empty.
    #[must_use]
    pub(crate) fn of(positives: &[f64], negatives: &[f64]) -> Option<Self> {
        if positives.is_empty() || negatives.is_empty() {
            return None;
        }
        let tagged = |xs: &[f64], tag: bool| xs.iter().map(|&x| (x, tag)).collect::<Vec<_>>();
        let mut all = tagged(positives, true);
        all.extend(tagged(negatives, false));
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (p, n) = (positives.len() as f64, negatives.len() as f64);
        let (mut hits, mut alarms) = (0usize, 0usize);
        let mut points = vec![(0.0, 0.0)];
        for tied in all.chunk_by(|a, b| a.0 == b.0) {
            let positive = tied.iter().filter(|x| x.1).count();
            hits += positive;
            alarms += tied.len() - positive;
            points.push((alarms as f64 / n, hits as f64 / p));
        }
        Some(Self { points })
    }

    /// Area under the curve: 0.5 for a guess, 1 for a perfect score.
    #[must_use]
    pub(crate) fn auc(&self) -> f64 {
        self.area(1.0)
    }

    /// Area up to a false-positive rate of [`MAX_FPR`], brought to 0.5 for a guess and 1 for a perfect score:
    /// ½·(1 + (A − min)/(max − min)) with min = fpr²/2 and max = fpr (McClish, Medical Decision Making 9, 1989).
    #[must_use]
    pub(crate) fn partial_auc(&self) -> f64 {
        let (least, most) = (MAX_FPR * MAX_FPR / 2.0, MAX_FPR);
        0.5 * (1.0 + (self.area(MAX_FPR) - least) / (most - least))
    }

    /// True-positive rate at a false-positive rate.
    #[must_use]
    pub(crate) fn at(&self, fpr: f64) -> f64 {
        let mut last = (0.0, 0.0);
        for &(x, y) in &self.points {
            if x > fpr {
                let share = if x > last.0 { (fpr - last.0) / (x - last.0) } else { 0.0 };
                return last.1 + share * (y - last.1);
            }
            last = (x, y);
        }
        last.1
    }

    fn area(&self, most: f64) -> f64 {
        let mut area = 0.0;
        for pair in self.points.windows(2) {
            let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
            let end = x1.min(most);
            if end <= x0 {
                continue;
            }
            let y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0);
            area += (end - x0) * (y0 + y_end) / 2.0;
        }
        area
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_areas() {
        let auc = |p: &[f64], n: &[f64]| Roc::of(p, n).unwrap().auc();
        assert!((auc(&[3.0, 4.0], &[1.0, 2.0]) - 1.0).abs() < 1e-12);
        assert!((auc(&[1.0, 2.0], &[3.0, 4.0])).abs() < 1e-12);
        assert!((auc(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]) - 0.5).abs() < 1e-12);
        assert!((auc(&[2.0], &[1.0, 2.0, 3.0, 4.0]) - 0.375).abs() < 1e-12);
        assert!(Roc::of(&[], &[1.0]).is_none());
    }

    /// Reference: scikit-learn's `roc_auc_score(max_fpr = 0.1)` of the same numbers.
    #[test]
    fn the_partial_area_is_that_of_scikit_learn() {
        let positives: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40) / 20.0 + 0.6).collect();
        let negatives: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 100) / 60.0).collect();
        let roc = Roc::of(&positives, &negatives).unwrap();
        assert!((roc.auc() - AUC).abs() < 1e-9, "{}", roc.auc());
        assert!((roc.partial_auc() - PAUC).abs() < 1e-9, "{}", roc.partial_auc());
        let guess = Roc::of(&[0.0; 5], &[0.0; 9]).unwrap();
        assert!((guess.partial_auc() - 0.5).abs() < 1e-12);
        assert!((Roc::of(&[1.0], &[0.0]).unwrap().partial_auc() - 1.0).abs() < 1e-12);
    }
    const AUC: f64 = 0.823625;
    const PAUC: f64 = 0.7361842105263158;

    proptest! {
        #[test]
        fn turned_around_it_is_one_minus(p in prop::collection::vec(-5..5i32, 1..30), n in prop::collection::vec(-5..5i32, 1..30)) {
            let of = |xs: &[i32], sign: f64| xs.iter().map(|&x| sign * f64::from(x)).collect::<Vec<_>>();
            let up = Roc::of(&of(&p, 1.0), &of(&n, 1.0)).unwrap();
            let down = Roc::of(&of(&p, -1.0), &of(&n, -1.0)).unwrap();
            prop_assert!((up.auc() + down.auc() - 1.0).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&up.at(0.3)));
        }
    }
}
