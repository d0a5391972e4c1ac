//! Two scores, one probability.

use super::tail::P_FLOOR;
use crate::event::Evidence;

/// The probability of a frame under normal sound, and which score says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CombinedPValue {
    pub(crate) p: f64,
    pub(crate) evidence: Evidence,
}

impl CombinedPValue {
    /// p = min(1, 2·min(p_S, p_N)): Bonferroni over the two scores, valid however they depend on each other. A
    /// missing score counts as 1. `None` if both are missing.
    pub(crate) fn of(surprise: Option<f64>, novelty: Option<f64>) -> Option<Self> {
        let (p, evidence) = match (surprise, novelty) {
            (None, None) => return None,
            (Some(s), Some(n)) if s <= n => (s, Evidence::Surprise),
            (Some(s), None) => (s, Evidence::Surprise),
            (_, Some(n)) => (n, Evidence::Novelty),
        };
        Some(Self { p: (2.0 * p).clamp(P_FLOOR, 1.0), evidence })
    }

    /// −log10 p, 0 to 12.
    pub(crate) fn score(self) -> f64 {
        (-self.p.log10()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_probability_counts_twice() {
        let p = |s, n| CombinedPValue::of(s, n).map(|f| (f.p, f.evidence));
        assert_eq!(p(Some(0.01), Some(0.2)), Some((0.02, Evidence::Surprise)));
        assert_eq!(p(Some(0.2), Some(0.01)), Some((0.02, Evidence::Novelty)));
        assert_eq!(p(Some(0.9), Some(0.8)), Some((1.0, Evidence::Novelty)));
        assert_eq!(p(None, Some(0.01)), Some((0.02, Evidence::Novelty)));
        assert_eq!(p(Some(0.01), None), Some((0.02, Evidence::Surprise)));
        assert_eq!(p(None, None), None);
    }

    #[test]
    fn the_score_is_bounded() {
        let score = |p| CombinedPValue { p, evidence: Evidence::Surprise }.score();
        assert_eq!((score(1.0), score(0.01), score(P_FLOOR)), (0.0, 2.0, 12.0));
    }
}
