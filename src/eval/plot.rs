//! Tables as pictures (SVG).

use plotters::coord::Shift;
use plotters::prelude::*;

use super::table::{Cell, Row, Table};
use crate::error::{Error, Result};

const PANEL_WIDTH: u32 = 500;
const ROW_HEIGHT: i32 = 24;
const HEAD: i32 = 34;
const FONT: (&str, i32) = ("sans-serif", 13);
const INK: RGBColor = RGBColor(40, 40, 40);
const BAR: RGBColor = RGBColor(88, 120, 164);
const FIRST: RGBColor = RGBColor(176, 176, 176);

/// Horizontal bars, a panel for each column of the table, all from 0 to `full`, with the spread over the runs and
/// the figure beside each. The first row, that of guessing, is grey.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn bars(table: &Table, full: f64, decimals: usize) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| Error::internal(format!("the plot cannot be drawn: {e}"));
    let panels = table.columns.len().max(1);
    let height = HEAD + ROW_HEIGHT * table.rows.len() as i32 + 14;
    let across = panels.min(2);
    let down = panels.div_ceil(2);
    let mut svg = String::new();
    {
        let size = (PANEL_WIDTH * across as u32, HEAD as u32 + height as u32 * down as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(|e| failed(&e))?;
        let title = Text::new(table.title.clone(), (12, 10), ("sans-serif", 15).into_font().color(&INK));
        root.draw(&title).map_err(|e| failed(&e))?;
        let areas = root.margin(HEAD, 0, 0, 0).split_evenly((down, across));
        for ((index, column), area) in table.columns.iter().enumerate().zip(&areas) {
            panel(area, column, index, table, full, decimals).map_err(|e| failed(&e))?;
        }
        root.present().map_err(|e| failed(&e))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn panel(area: &Area<'_>, title: &str, column: usize, table: &Table, full: f64, decimals: usize) -> Drawn {
    // where bars begin and how long a full one is; the rest is for the names and the figures
    let (start, length) = (224, PANEL_WIDTH as i32 - 224 - 96);
    let text = |words: String, at: (i32, i32)| Text::new(words, at, FONT.into_font().color(&INK));
    let draw_text = |words: String, at| area.draw(&text(words, at)).map_err(|e| e.to_string());
    draw_text(title.to_owned(), (start, 10))?;
    let x = |value: f64| start + (value.clamp(0.0, full) / full * f64::from(length)).round() as i32;
    for (number, Row { name, cells }) in table.rows.iter().enumerate() {
        let top = HEAD + ROW_HEIGHT * number as i32;
        draw_text(name.clone(), (12, top + 2))?;
        let Some(Cell { mean, sd, runs, .. }) = cells.get(column).and_then(Option::as_ref) else { continue };
        let colour = if number == 0 { FIRST } else { BAR };
        let bar =
            Rectangle::new([(start, top), (x(*mean).max(start + 1), top + ROW_HEIGHT - 8)], colour.filled());
        area.draw(&bar).map_err(|e| e.to_string())?;
        let mut figure = format!("{mean:.decimals$}");
        if runs.len() > 1 {
            let middle = top + (ROW_HEIGHT - 8) / 2;
            let whisker = PathElement::new(vec![(x(mean - sd), middle), (x(mean + sd), middle)], INK);
            area.draw(&whisker).map_err(|e| e.to_string())?;
            figure = format!("{figure} ± {sd:.decimals$}");
        }
        draw_text(figure, (x(mean + sd) + 6, top + 2))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_bars_for_larger_figures() {
        let row = |name: &str, runs: &[f64]| Row {
            name: name.into(),
            cells: vec![Some(Cell::of(runs.to_vec())), None],
        };
        let rows = vec![row("guess", &[10.0]), row("a < b", &[80.0, 84.0])];
        let table = Table { title: "t".into(), columns: vec!["x".into(), "y".into()], rows };
        let svg = bars(&table, 100.0, 1).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("a &lt; b") && svg.contains("82.0 ± 2.8"), "{svg}");
        let widths: Vec<u32> = svg
            .lines()
            .filter(|line| line.starts_with("<rect") && !line.contains("#FFFFFF"))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert!(widths.len() == 2 && widths[0] < widths[1], "{widths:?}");
    }
}
