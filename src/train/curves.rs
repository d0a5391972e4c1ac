//! The curves of a run as an SVG.

use std::path::Path;

use plotters::prelude::*;
use serde_json::Value;

use crate::error::{Error, Result};

/// The points of the curves.
#[derive(Debug, Default)]
pub(super) struct Curves {
    /// Step and loss of training steps, smoothed.
    training: Vec<(f64, f64)>,
    smooth: Option<f64>,
    validation: Vec<(f64, f64)>,
    /// Step and accuracy in percent, for the first, a middle and the last horizon.
    accuracy: [Vec<(f64, f64)>; 3],
    horizons: [usize; 3],
    chance: f64,
}

impl Curves {
    /// Adds a line of the log.
    pub(super) fn add(&mut self, line: &Value) {
        let Some(step) = line.get("step").and_then(Value::as_f64) else { return };
        if let Some(loss) = line.get("loss").and_then(Value::as_f64) {
            let smooth = self.smooth.map_or(loss, |before| before + 0.1 * (loss - before));
            self.smooth = Some(smooth);
            self.training.push((step, smooth));
        }
        let Some(figures) = line.get("validation") else { return };
        let number = |name: &str| figures.get(name).and_then(Value::as_f64);
        if let (Some(loss), Some(chance)) = (number("loss"), number("chance_loss")) {
            self.validation.push((step, loss));
            self.chance = chance;
        }
        let Some(per_k) = figures.get("accuracy_per_k").and_then(Value::as_array) else { return };
        self.horizons = [1, per_k.len().div_ceil(2), per_k.len()];
        for (curve, k) in self.accuracy.iter_mut().zip(self.horizons) {
            if let Some(accuracy) = per_k.get(k.saturating_sub(1)).and_then(Value::as_f64) {
                curve.push((step, 100.0 * accuracy));
            }
        }
    }
}

/// Draws loss and accuracy over the steps.
pub(super) fn draw(path: &Path, curves: &Curves) -> Result<()> {
    render(path, curves).map_err(|e| {
        Error::model(format!("cannot draw {}: {e}", path.display()), "check the folder and the free space")
    })
}

fn render(path: &Path, curves: &Curves) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(480);
    let all = || curves.training.iter().chain(&curves.validation);
    let last = all().map(|&(step, _)| step).fold(1.0, f64::max);
    let low = all().map(|&(_, loss)| loss).fold(curves.chance, f64::min);

    let mut chart = ChartBuilder::on(&left)
        .caption("InfoNCE loss (nats)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..last, (low - 0.1)..(curves.chance + 0.2))?;
    chart.configure_mesh().light_line_style(WHITE).x_desc("step").draw()?;
    let lines = [
        ("training", RGBColor(150, 170, 200), curves.training.clone()),
        ("held out", RGBColor(20, 80, 160), curves.validation.clone()),
        ("guessing", RGBColor(170, 60, 60), vec![(0.0, curves.chance), (last, curves.chance)]),
    ];
    for (name, colour, points) in lines {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw()?;

    let mut chart = ChartBuilder::on(&right)
        .caption("accuracy, held out (%)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..last, 0.0..100.0)?;
    chart.configure_mesh().light_line_style(WHITE).x_desc("step").draw()?;
    let colours = [RGBColor(20, 80, 160), RGBColor(60, 150, 90), RGBColor(200, 120, 30)];
    for ((points, colour), k) in curves.accuracy.iter().zip(colours).zip(curves.horizons) {
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(format!("k = {k}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw()?;
    root.present()?;
    Ok(())
}
