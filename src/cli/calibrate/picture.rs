//! The calibration as a picture.

use std::fmt::Write as _;

use super::show::{BUDGETS, CalibratedScore, bins, calibrated_scores};
use crate::detect::{Calibration, DetectorModel};

const BINS: usize = 40;
/// A panel in pixels, and its plot without caption and labels.
const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = WIDTH - 24.0;
const BOTTOM: f64 = HEIGHT - 40.0;

/// The calibration as an SVG: a panel for each score with the histogram of its maxima, the expected count of each bin under the
/// probability in force, and the threshold of each budget.
pub(super) fn picture(calibration: &Calibration, detector_model: &DetectorModel) -> String {
    let scores = calibrated_scores(calibration, detector_model);
    let height = HEIGHT * scores.len().max(1) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (panel, score) in scores.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate(0 {})\">", HEIGHT * panel as f64);
        draw(&mut svg, score);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, score: &CalibratedScore<'_>) {
    let thresholds = BUDGETS.map(|budget| (budget, score.threshold(budget)));
    let last = thresholds.iter().map(|t| t.1).fold(f64::NEG_INFINITY, f64::max);
    let (low, width) = bins(score, last, BINS);
    let maxima = score.tail.maxima();
    let counts: Vec<(f64, f64)> = (0..=BINS)
        .map(|i| {
            let from = low + i as f64 * width;
            (from, maxima.iter().filter(|&&m| m >= from && m < from + width).count() as f64)
        })
        .collect();
    let most = counts.iter().map(|c| c.1).fold(1.0, f64::max) * 1.15;
    let high = low + (BINS + 1) as f64 * width;
    let x = |value: f64| LEFT + (value - low) / (high - low) * (RIGHT - LEFT);
    let y = |count: f64| BOTTOM - count / most * (BOTTOM - TOP);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}: highest value of each second</text>",
        score.name
    );
    let _ = writeln!(svg, "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"black\"/>");
    for tick in 0..=4 {
        let (value, count) = (low + (high - low) * f64::from(tick) / 4.0, most * f64::from(tick) / 4.0);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{value:.2}</text><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{count:.0}</text>",
            x(value),
            BOTTOM + 18.0,
            LEFT - 6.0,
            y(count) + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"{}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {0})\">seconds</text>",
        f64::midpoint(TOP, BOTTOM)
    );
    for &(from, count) in counts.iter().filter(|(_, count)| *count > 0.0) {
        let (left, right) = (x(from), x(from + width));
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#96aac8\"/>",
            y(count),
            right - left,
            BOTTOM - y(count)
        );
    }
    let expected: String = counts
        .iter()
        .map(|&(from, _)| {
            let share = (score.probability)(from) - (score.probability)(from + width);
            format!("{:.1},{:.1} ", x(from + width / 2.0), y(maxima.len() as f64 * share.max(0.0)))
        })
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{expected}\" fill=\"none\" stroke=\"#2c64b0\" stroke-width=\"2\"/>"
    );
    for (i, (budget, at)) in thresholds.iter().enumerate() {
        let (at, label) = (x(*at), y(most * (0.9 - 0.08 * i as f64)));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {BOTTOM}V{:.1}\" stroke=\"#c43e2c\"/><text x=\"{:.1}\" y=\"{label:.1}\" fill=\"#c43e2c\">{budget} / h</text>",
            y(most * 0.9),
            at + 4.0
        );
    }
}
