//! The calibration, in the terminal and as a picture.

use plotters::prelude::*;

use crate::cli::args::Output;
use crate::detect::{Calibration, Conformal, DetectorModel, Tail};
use crate::error::{Error, Result};

/// Budgets that are compared, events an hour.
const BUDGETS: [f64; 5] = [0.1, 0.5, 1.0, 4.0, 20.0];
const HISTOGRAM_ROWS: usize = 10;
const HISTOGRAM_WIDTH: usize = 40;

/// A score that alarms are made of: its maxima over seconds of calibration, and its probability.
struct CalibratedScore<'a> {
    name: &'static str,
    tail: &'a Tail,
    probability: Box<dyn Fn(f64) -> f64 + 'a>,
    /// Share of the budget.
    share: f64,
}

impl CalibratedScore<'_> {
    /// The score above which it alarms at a budget, by halving: the probability falls in the score.
    fn threshold(&self, events_per_hour: f64) -> f64 {
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

fn calibrated_scores<'a>(
    calibration: &'a Calibration,
    instrument: &'a DetectorModel,
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
            probability: Box::new(|s| calibration.critic_probability(s, instrument.usual()).unwrap_or(1.0)),
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
    instrument: &DetectorModel,
    budget: f64,
    out: &mut Output,
) -> Result<()> {
    out.line(format_args!(
        "normal, learnt from {:.0} s of sound at {:.1} dBFS (calibration {})",
        calibration.seconds(),
        calibration.background_dbfs(),
        calibration.id()
    ))?;
    let calibrated_scores = calibrated_scores(calibration, instrument);
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
        let conformal = Conformal::new(judge.tail.maxima().to_vec())?;
        lowest = lowest.max(conformal.lowest_rate_per_hour() / judge.share);
    }
    for budget in BUDGETS {
        let thresholds: Vec<f64> = calibrated_scores.iter().map(|j| j.threshold(budget)).collect();
        let shown: String = thresholds.iter().map(|t| format!(" {t:>10.2}")).collect();
        let above: usize = calibrated_scores.iter().zip(&thresholds).map(|(j, &t)| j.above(t)).sum();
        let by = if budget < lowest { "extrapolated tail" } else { "rank among what was heard" };
        out.line(format_args!("{budget:>14}{shown} {above:>24}  {by}"))?;
    }
    out.line(format_args!(
        "\nBelow {lowest:.1} events an hour nothing as rare was heard: there the tail is extrapolated, until hours of \
         watching have taught it."
    ))
}

fn bins(judge: &CalibratedScore<'_>, alarm: f64, count: usize) -> (f64, f64) {
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
        let note = if (from..from + width).contains(&alarm) { "◀ alarm" } else { "" };
        out.line(format_args!("{from:>9.2} {bar} {note}"))?;
    }
    Ok(())
}

/// The same as a picture (SVG): a panel for each score with its histogram, the expected count of each bin under the
/// probability in force, and the threshold of each budget.
///
/// # Errors
/// When it cannot be drawn.
pub(super) fn picture(calibration: &Calibration, instrument: &DetectorModel) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, &calibrated_scores(calibration, instrument))
        .map_err(|e| Error::internal(format!("the plot cannot be drawn: {e}")))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    calibrated_scores: &[CalibratedScore<'_>],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    const BINS: usize = 40;
    let (bar, line, mark) = (RGBColor(150, 170, 200), RGBColor(44, 100, 176), RGBColor(196, 62, 44));
    let panels = calibrated_scores.len().max(1);
    let root = SVGBackend::with_string(svg, (820, 320 * panels as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (judge, area) in calibrated_scores.iter().zip(root.split_evenly((panels, 1))) {
        let thresholds = BUDGETS.map(|b| (b, judge.threshold(b)));
        let last = thresholds.iter().map(|t| t.1).fold(f64::NEG_INFINITY, f64::max);
        let (low, width) = bins(judge, last, BINS);
        let n = judge.tail.maxima().len() as f64;
        let counts: Vec<(f64, f64)> = (0..=BINS)
            .map(|i| {
                let from = low + i as f64 * width;
                let inside = judge.tail.maxima().iter().filter(|&&m| m >= from && m < from + width);
                (from, inside.count() as f64)
            })
            .collect();
        let most = counts.iter().map(|c| c.1).fold(1.0, f64::max) * 1.15;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(format!("{}: highest value of each second", judge.name), ("sans-serif", 15))
            .x_label_area_size(28)
            .y_label_area_size(44)
            .build_cartesian_2d(low..low + (BINS + 1) as f64 * width, 0.0..most)?;
        chart.configure_mesh().disable_x_mesh().y_desc("seconds").draw()?;
        let bars = counts.iter().map(|&(x, y)| Rectangle::new([(x, 0.0), (x + width, y)], bar.filled()));
        chart.draw_series(bars)?;
        let expected = counts.iter().map(|&(x, _)| {
            let share = (judge.probability)(x) - (judge.probability)(x + width);
            (x + width / 2.0, n * share.max(0.0))
        });
        chart.draw_series(LineSeries::new(expected, line.stroke_width(2)))?;
        for (i, (budget, at)) in thresholds.iter().enumerate() {
            chart.draw_series(LineSeries::new([(*at, 0.0), (*at, most * 0.9)], mark.stroke_width(1)))?;
            let height = most * (0.9 - 0.08 * i as f64);
            let text = Text::new(
                format!(" {budget} / h"),
                (*at, height),
                ("sans-serif", 12).into_font().color(&mark),
            );
            chart.draw_series([text])?;
        }
    }
    root.present()?;
    Ok(())
}
