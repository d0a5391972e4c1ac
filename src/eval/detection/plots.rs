//! Pictures of a measurement (SVG).

use plotters::prelude::*;

use super::measure::DetectorOutput;
use super::outcome::Outcome;
use crate::corpus::rare::{ControlKind, Stream};
use crate::error::{Error, Result};
use crate::eval::baselines::ROW;
use crate::roc::Roc;
use crate::units::FRAME_RATE;

const INK: RGBColor = RGBColor(40, 40, 40);
const COLOURS: [RGBColor; 10] = [
    RGBColor(196, 62, 44),
    RGBColor(44, 100, 176),
    RGBColor(70, 140, 84),
    RGBColor(150, 110, 180),
    RGBColor(222, 150, 50),
    RGBColor(90, 170, 180),
    RGBColor(150, 150, 150),
    RGBColor(120, 80, 60),
    RGBColor(200, 110, 160),
    RGBColor(60, 60, 60),
];
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn colour(number: usize) -> RGBColor {
    COLOURS.get(number % COLOURS.len()).copied().unwrap_or(INK)
}

fn done(drawn: Drawn, svg: String) -> Result<String> {
    drawn.map(|()| svg).map_err(|e| Error::internal(format!("the plot cannot be drawn: {e}")))
}

/// Receiver operating characteristic of each detector, the mean over streams, up to a false-positive rate of 0.3.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn roc_plot(detectors: &[(String, &[Outcome])]) -> Result<String> {
    let mut svg = String::new();
    let drawn = draw_roc(&mut svg, detectors);
    done(drawn, svg)
}

fn draw_roc(svg: &mut String, detectors: &[(String, &[Outcome])]) -> Drawn {
    const END: f64 = 0.3;
    let root = SVGBackend::with_string(svg, (760, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..END, 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE.mix(0.0))
        .x_desc("false-positive rate, segments of 0.5 s")
        .y_desc("true-positive rate")
        .draw()?;
    for (number, (name, outcomes)) in detectors.iter().enumerate() {
        let curves: Vec<Roc> = outcomes
            .iter()
            .filter_map(|o| {
                Roc::of(&o.positives(|_| true).collect::<Vec<_>>(), &o.negatives().collect::<Vec<_>>())
            })
            .collect();
        let mean = |x: f64| curves.iter().map(|c| c.at(x)).sum::<f64>() / curves.len().max(1) as f64;
        let line = (0..=150).map(|i| f64::from(i) / 150.0 * END).map(|x| (x, mean(x)));
        let style = colour(number).stroke_width(if number == 0 { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(line, style))?
            .label(name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.9))
        .border_style(INK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Scores of some detectors over one stream, a panel each, with the truth behind them: planted sounds in red (the
/// fainter, the paler), gain steps and second clips in grey, the quiet part in blue.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn time_plot(stream: &Stream, judged: &[(String, DetectorOutput)]) -> Result<String> {
    let mut svg = String::new();
    let drawn = draw_time(&mut svg, stream, judged);
    done(drawn, svg)
}

fn draw_time(svg: &mut String, stream: &Stream, judged: &[(String, DetectorOutput)]) -> Drawn {
    let length = stream.samples.len() as f64 / f64::from(crate::units::MODEL_RATE);
    let root =
        SVGBackend::with_string(svg, (1180, 170 * judged.len().max(1) as u32 + 30)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(&stream.name, ("sans-serif", 16))?;
    for ((name, judged), area) in judged.iter().zip(root.split_evenly((judged.len().max(1), 1))) {
        let mut sorted: Vec<f64> = judged.rows.iter().copied().filter(|x| x.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64) as usize).copied();
        let (low, high) = (at(0.01).unwrap_or(0.0), at(0.999).unwrap_or(1.0));
        let high = if high > low { high + 0.1 * (high - low) } else { low + 1.0 };
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .x_label_area_size(22)
            .y_label_area_size(46)
            .caption(name, ("sans-serif", 13))
            .build_cartesian_2d(0.0..length, low..high)?;
        let band = |from: f64, to: f64, style: ShapeStyle| {
            Rectangle::new([(from, low), (to.max(from + 0.4), high)], style)
        };
        chart.draw_series([band(0.0, stream.quiet_s, RGBColor(60, 120, 200).mix(0.10).filled())])?;
        let controls = stream.controls.iter().filter(|c| c.kind != ControlKind::Join);
        chart.draw_series(controls.map(|c| band(c.onset_s, c.offset_s, INK.mix(0.18).filled())))?;
        chart.draw_series(stream.events.iter().map(|e| {
            let strength = f64::from((e.ratio_db.unwrap_or(0.0) + 18.0) / 30.0).clamp(0.15, 0.8);
            band(e.onset_s, e.offset_s, RGBColor(210, 50, 40).mix(strength).filled())
        }))?;
        chart.configure_mesh().disable_mesh().x_labels(12).y_labels(4).draw()?;
        let row_s = ROW as f64 / f64::from(FRAME_RATE);
        let line = judged.rows.iter().enumerate().map(|(i, &y)| ((i + 1) as f64 * row_s, y.clamp(low, high)));
        chart.draw_series(LineSeries::new(line, colour(1).stroke_width(1)))?;
        if let Some((_, alarms)) = judged.alarms.last() {
            chart.draw_series(alarms.iter().map(|a| {
                TriangleMarker::new((a.onset_s, high - 0.04 * (high - low)), 6, colour(0).filled())
            }))?;
        }
    }
    root.present()?;
    Ok(())
}
