//! The scores of the last hours of watching, and what is learnt from them: within the first hour often, then once an hour.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::saturation::saturated;
use super::tail::Tail;
use crate::detect::exact::exact;

/// Blocks of 1 s that are remembered: 4 h.
const MOST: usize = 14_400;
/// Usable blocks between two fits: an hour.
const EVERY: u32 = 3600;
/// Stands for a block that is left out; scores go to 12,000.
const LEFT_OUT: u16 = u16::MAX;

/// The maxima of −log10 p over the last 14,400 usable blocks of 1 s, in thousandths.
///
/// p is that of the calibration, so that all of them have one scale, whatever was learnt in between.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maxima {
    milli: VecDeque<u16>,
    /// Blocks so far.
    blocks: u64,
    since_fit: u32,
    /// The next block is left out.
    wary: bool,
}

exact!(Maxima { milli, blocks, since_fit, wary });

impl Maxima {
    /// How many blocks there were; the next one has this number.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Adds the highest −log10 p of a block.
    pub(crate) fn push(&mut self, highest: f64) {
        if self.milli.len() >= MOST {
            self.milli.pop_front();
        }
        let milli = if self.wary { LEFT_OUT } else { (highest * 1000.0).round().clamp(0.0, 60_000.0) as u16 };
        self.milli.push_back(milli);
        self.wary = false;
        self.blocks += 1;
        self.since_fit += 1;
    }

    /// Leaves out these blocks; those that are not remembered are left out already. One that is still to come may
    /// be the last of them.
    pub(crate) fn leave_out(&mut self, blocks: RangeInclusive<u64>) {
        let first = self.blocks - self.milli.len() as u64;
        self.wary |= blocks.contains(&self.blocks);
        for block in (*blocks.start()).max(first)..(*blocks.end() + 1).min(self.blocks) {
            if let Some(milli) = self.milli.get_mut((block - first) as usize) {
                *milli = LEFT_OUT;
            }
        }
    }

    /// The tail of what is remembered, where it is time for a new one: in the first hour after every second at first, later whenever
    /// there is a twentieth more, then once an hour.
    pub(crate) fn refit(&mut self) -> Option<Refit> {
        if self.blocks < u64::from(EVERY) {
            let is_due = self.blocks.is_multiple_of((self.blocks / 20).max(1));
            return is_due.then(|| self.early());
        }
        if self.since_fit < EVERY {
            return None;
        }
        self.since_fit = 0;
        let kept = self.kept();
        // where most was left out, what is left says little about an hour
        if kept.len() < EVERY as usize / 2 { None } else { Tail::fit(kept).ok().map(Refit::Hourly) }
    }

    /// The tail of what is remembered of the first hour.
    pub(crate) fn early(&self) -> Refit {
        Refit::Early(Tail::learning(&self.kept()))
    }

    fn kept(&self) -> Vec<f64> {
        let kept = self.milli.iter().filter(|&&milli| milli != LEFT_OUT);
        kept.map(|&milli| f64::from(milli) / 1000.0).collect()
    }

    /// Whether this could have come about by the functions above.
    pub(crate) fn is_whole(&self) -> bool {
        self.milli.len() <= MOST && self.milli.len() as u64 <= self.blocks && self.since_fit <= EVERY
    }
}

/// A tail of what was watched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refit {
    /// Of less than an hour, beside what p leads to expect ([`Tail::learning`]).
    Early(Tail),
    /// Of hours alone.
    Hourly(Tail),
}

/// From the calibration's −log10 p to the probability in force: at first p itself; then the tail of the block maxima of −log10 p
/// that were received since.
///
/// Calibration received minutes, and its tail beyond 1 in a few hundred seconds is a guess: at some sites every minute goes farther,
/// at most none does. A minute of watching tells them apart, and hours of maxima know. The score keeps its order, only its scale is
/// learnt anew (a monotone map), so that no sound changes places with another; below the threshold of the tail the map is the empirical
/// share, above it an exponential law, and after an hour a generalised Pareto law. What the controller had learnt is then half
/// forgotten: its offset stood for the error that the new tail no longer makes, but a half stays, since a fit is not the truth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recalibrated {
    tail: Option<Tail>,
    /// The tail is of less than an hour.
    is_early: bool,
}

exact!(Recalibrated { tail, is_early });

impl Recalibrated {
    /// The probability in force of a frame whose probability under the calibration is `p`.
    pub(crate) fn p(&self, p: f64) -> f64 {
        self.tail.as_ref().map_or(p, |tail| 10f64.powf(-bounded(tail.surprisal(-p.log10()))))
    }

    /// The same by what hours have taught alone: whether this is the site that was calibrated cannot be learnt from the minutes in
    /// which it may be another.
    pub(crate) fn p_of_site(&self, p: f64) -> f64 {
        if self.is_early { p } else { self.p(p) }
    }

    /// Whether less than an hour has taught what is in force.
    pub(crate) fn is_early(&self) -> bool {
        self.is_early
    }

    /// From here on by another tail.
    pub(crate) fn renew(&mut self, refit: Refit) {
        self.is_early = matches!(refit, Refit::Early(_));
        let (Refit::Early(tail) | Refit::Hourly(tail)) = refit;
        self.tail = Some(tail);
    }

    /// Whether this could have come from a fit.
    pub(crate) fn is_whole(&self) -> bool {
        self.tail.as_ref().is_none_or(Tail::is_whole)
    }
}

/// Bends what lies beyond 8 so that it stays below 12, as p does that calibration gives: the stranger of two sounds has the higher score.
fn bounded(surprisal: f64) -> f64 {
    saturated(surprisal, 8.0, 4.0, 4.0)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// −log10 p of a second whose p is uniform, times `scale`.
    fn second(rng: &mut ChaCha8Rng, scale: f64) -> f64 {
        -(1.0 - rng.random::<f64>()).log10() * scale
    }

    #[test]
    fn an_hour_teaches_the_scale() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut maxima, mut learnt) = (Maxima::default(), Recalibrated::default());
        assert_eq!(learnt.p(1e-3), 1e-3);
        let mut early = 0;
        for _ in 0..3600 {
            maxima.push(second(&mut rng, 1.25));
            let Some(refit) = maxima.refit() else { continue };
            if let Refit::Early(_) = refit {
                early += 1;
            } else {
                let before = -learnt.p(10f64.powf(-2.5)).log10();
                assert!((before - 2.0).abs() < 0.3, "what less than an hour taught: {before}");
                assert_eq!(learnt.p_of_site(1e-3), 1e-3);
            }
            learnt.renew(refit);
        }
        assert!((200..300).contains(&early), "{early} fits in an hour");
        assert!(learnt.p_of_site(1e-3) == learnt.p(1e-3) && learnt.p(1e-3) > 2e-3);
        assert_eq!((maxima.since_fit, maxima.refit()), (0, None));
        let scores = [9.0, 10.0, 11.5, 11.9].map(|score| -learnt.p(10f64.powf(-score)).log10());
        assert!(scores.is_sorted() && scores[3] > scores[2] + 0.01 && scores[3] < 12.0, "{scores:?}");
        for score in [1.25, 2.5, 3.75] {
            let truth = score / 1.25;
            let found = -learnt.p(10f64.powf(-score)).log10();
            assert!((found - truth).abs() < 0.35, "{score}: {found}");
        }
    }

    #[test]
    fn blocks_are_left_out_by_their_numbers_and_four_hours_are_kept() {
        let mut maxima = Maxima::default();
        for block in 0..20_000u64 {
            assert_eq!(maxima.blocks(), block);
            maxima.push(1.0 + (block % 7) as f64 / 10.0);
        }
        maxima.leave_out(0..=7_000);
        assert_eq!(maxima.milli.len(), MOST);
        assert_eq!(maxima.milli.iter().filter(|&&m| m == LEFT_OUT).count(), 7_001 - 5_600);
        maxima.leave_out(19_999..=20_000);
        maxima.push(1.0);
        maxima.push(1.5);
        assert_eq!(
            maxima.milli.iter().rev().take(4).copied().collect::<Vec<_>>(),
            [1500, LEFT_OUT, LEFT_OUT, 1000 + 19_998 % 7 * 100]
        );
        let json = serde_json::to_string(&maxima).unwrap();
        assert!(json.len() < 100_000 && maxima.since_fit > EVERY);
        assert_eq!(serde_json::from_str::<Maxima>(&json).unwrap(), maxima);
    }
}
