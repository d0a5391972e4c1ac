//! The calibration, in the terminal and as a picture.

use crate::cli::args::Output;
use crate::detect::{Calibration, DetectorModel, Tail};
use crate::error::Result;

/// Budgets that are compared, events an hour.
pub(super) const BUDGETS: [f64; 5] = [0.1, 0.5, 1.0, 4.0, 20.0];
const HISTOGRAM_ROWS: usize = 10;
const HISTOGRAM_WIDTH: usize = 40;

/// A score that alarms are made of: its maxima over seconds of calibration, and its probability.
pub(super) struct CalibratedScore<'a> {
    pub(super) name: &'static str,
    pub(super) tail: &'a Tail,
    pub(super) probability: Box<dyn Fn(f64) -> f64 + 'a>,
    /// Share of the budget.
    share: f64,
}

impl CalibratedScore<'_> {
    /// The score above which it alarms at a budget, by halving: the probability falls in the score.
    pub(super) fn threshold(&self, events_per_hour: f64) -> f64 {
        let q = events_per_hour / 3600.0 * self.share;
        let maxima = self.tail.maxima();
        let low = maxima.first().copied().unwrap_or(0.0);
        let spread = maxima.last().map_or(1.0, |high| high - low).max(1e-6);
        let (mut low, mut high) = (low - spread, low + 50.0 * spread);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if (self.probability)(middle) > q {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    fn above(&self, score: f64) -> usize {
        self.tail.maxima().iter().filter(|&&m| m > score).count()
    }
}

pub(super) fn calibrated_scores<'a>(
    calibration: &'a Calibration,
    detector_model: &'a DetectorModel,
) -> Vec<CalibratedScore<'a>> {
    let alone = |name, tail: &'a Tail| CalibratedScore {
        name,
        tail,
        probability: Box::new(|s| tail.tail_probability(s)),
        share: 0.5,
    };
    match calibration.critic() {
        Some(tail) => vec![CalibratedScore {
            name: "critic",
            tail,
            probability: Box::new(|s| {
                calibration.critic_probability(s, detector_model.usual()).unwrap_or(1.0)
            }),
            share: 1.0,
        }],
        None => vec![alone("surprise", calibration.surprise().1), alone("novelty", calibration.novelty().1)],
    }
}

/// Shows histogram, thresholds of some budgets and how many seconds of the calibration lie above each.
///
/// # Errors
/// When stdout is closed.
pub(super) fn show(
    calibration: &Calibration,
    detector_model: &DetectorModel,
    budget: f64,
    out: &mut Output,
) -> Result<()> {
    out.prose(format_args!(
        "normal, learnt from {:.0} s of sound at {:.1} dBFS (calibration {})",
        calibration.seconds(),
        calibration.background_dbfs(),
        calibration.id()
    ))?;
    let calibrated_scores = calibrated_scores(calibration, detector_model);
    for judge in &calibrated_scores {
        out.line(format_args!("\n{}: highest value of each second", judge.name))?;
        histogram(judge, budget, out)?;
    }
    let names: String =
        calibrated_scores.iter().map(|j| format!(" {:>10}", format!("{} >", j.name))).collect();
    out.line(format_args!("\n{:>14}{names} {:>24}  by", "events an hour", "seconds above, just now"))?;
    // a rank among n seconds is valid whatever their law, but knows nothing rarer than once in n + 1 of them
    let mut lowest = 0f64;
    for judge in &calibrated_scores {
        lowest = lowest.max(judge.tail.lowest_rate_per_hour() / judge.share);
    }
    for budget in BUDGETS {
        let thresholds: Vec<f64> = calibrated_scores.iter().map(|j| j.threshold(budget)).collect();
        let shown: String = thresholds.iter().map(|t| format!(" {t:>10.2}")).collect();
        let above: usize = calibrated_scores.iter().zip(&thresholds).map(|(j, &t)| j.above(t)).sum();
        let by = if budget < lowest { "extrapolated tail" } else { "rank among what was heard" };
        out.line(format_args!("{budget:>14}{shown} {above:>24}  {by}"))?;
    }
    out.prose(format_args!(
        "\nBelow {lowest:.1} events an hour nothing as rare was heard: there the tail is extrapolated, until hours of \
         watching have taught it."
    ))
}

pub(super) fn bins(judge: &CalibratedScore<'_>, alarm: f64, count: usize) -> (f64, f64) {
    let maxima = judge.tail.maxima();
    let low = maxima.first().copied().unwrap_or(0.0);
    let high = maxima.last().copied().unwrap_or(1.0).max(alarm);
    (low, ((high - low) / count as f64).max(f64::MIN_POSITIVE))
}

fn histogram(judge: &CalibratedScore<'_>, budget: f64, out: &mut Output) -> Result<()> {
    let alarm = judge.threshold(budget);
    let (low, width) = bins(judge, alarm, HISTOGRAM_ROWS);
    let count = |from: f64| judge.tail.maxima().iter().filter(|&&m| m >= from && m < from + width).count();
    let most = (0..=HISTOGRAM_ROWS).map(|row| count(low + row as f64 * width)).max().unwrap_or(1).max(1);
    for row in 0..=HISTOGRAM_ROWS {
        let from = low + row as f64 * width;
        let bar = "█".repeat((count(from) * HISTOGRAM_WIDTH).div_ceil(most));
        let note = if (from..from + width).contains(&alarm) { " ◀ alarm" } else { "" };
        let line = format!("{from:>9.2} {bar}{note}");
        out.line(format_args!("{}", line.trim_end()))?;
    }
    Ok(())
}
