//! Tables of figures: rows × columns of mean ± standard deviation.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A figure measured once or several times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Mean over the runs.
    pub mean: f64,
    /// Standard deviation over the runs (with n − 1); 0 for a single one.
    pub sd: f64,
    /// 95 % interval of the mean that comes from the size of the test, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// The runs.
    pub runs: Vec<f64>,
}

impl Cell {
    /// The figure of these runs.
    #[must_use]
    pub fn of(runs: Vec<f64>) -> Self {
        let n = runs.len().max(1) as f64;
        let mean = runs.iter().sum::<f64>() / n;
        let squares: f64 = runs.iter().map(|x| (x - mean).powi(2)).sum();
        let sd = if runs.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
        Self { mean, sd, interval: None, runs }
    }

    /// The same with its interval.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { interval: Some((low, high)), ..self }
    }
}

/// A row of a table; `None` is a figure that was not measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the row.
    pub name: String,
    /// A cell for each column.
    pub cells: Vec<Option<Cell>>,
}

/// Which figures of a table are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// High ones.
    Highest,
    /// Low ones.
    Lowest,
    /// High ones in some columns, low ones in others: none is marked.
    Mixed,
}

impl Best {
    fn is_no_worse(self, a: f64, b: f64) -> bool {
        match self {
            Self::Highest => a >= b,
            Self::Lowest => a <= b,
            Self::Mixed => false,
        }
    }
}

/// Rows × columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its title, with the unit.
    pub title: String,
    /// Titles of the columns.
    pub columns: Vec<String>,
    /// Rows, in the order in which they are shown.
    pub rows: Vec<Row>,
}

impl Table {
    /// The table in Markdown, figures with `decimals` places, the `best` mean of each column in bold. The spread is
    /// shown where there was more than one run.
    #[must_use]
    pub fn markdown(&self, decimals: usize, best: Best) -> String {
        let mut grid = vec![vec![String::new()]];
        if let Some(head) = grid.first_mut() {
            head.extend(self.columns.iter().cloned());
        }
        for row in &self.rows {
            let mut line = vec![row.name.clone()];
            for (column, cell) in row.cells.iter().enumerate() {
                line.push(cell.as_ref().map_or_else(
                    || "–".to_owned(),
                    |cell| {
                        let others = self.rows.iter().filter_map(|r| r.cells.get(column)?.as_ref());
                        let is_best = others.map(|c| c.mean).all(|other| best.is_no_worse(cell.mean, other));
                        show(cell, decimals, is_best)
                    },
                ));
            }
            grid.push(line);
        }
        let columns = self.columns.len() + 1;
        let width = |column: usize| {
            grid.iter()
                .filter_map(|line| line.get(column))
                .map(|text| text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = format!("{}\n\n", self.title);
        for (number, line) in grid.iter().enumerate() {
            for (text, &width) in line.iter().zip(&widths) {
                let _ = write!(out, "| {text:<width$} ");
            }
            out.push_str("|\n");
            if number == 0 {
                for &width in &widths {
                    let _ = write!(out, "| {:-<width$} ", "");
                }
                out.push_str("|\n");
            }
        }
        out
    }
}

fn show(cell: &Cell, decimals: usize, best: bool) -> String {
    let mean = format!("{:.decimals$}", cell.mean);
    let mean = if best { format!("**{mean}**") } else { mean };
    if cell.runs.len() > 1 { format!("{mean} ± {:.decimals$}", cell.sd) } else { mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_markdown_and_back_from_json() {
        let cells = |a: &[f64]| vec![Some(Cell::of(a.to_vec())), None];
        let rows = vec![
            Row { name: "one".into(), cells: cells(&[1.0, 3.0]) },
            Row { name: "two".into(), cells: cells(&[4.0]) },
        ];
        let table = Table { title: "t, %".into(), columns: vec!["x".into(), "y".into()], rows };
        let expected = "\
t, %

|     | x         | y |
| --- | --------- | - |
| one | 2.0 ± 1.4 | – |
| two | **4.0**   | – |
";
        assert_eq!(table.markdown(1, Best::Highest), expected);
        assert!(table.markdown(1, Best::Lowest).contains("| one | **2.0** ± 1.4 | – |"));
        let back: Table = serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();
        assert_eq!(back, table);
    }
}
