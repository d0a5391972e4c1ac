//! The score over time, drawn as text while the scene plays.

use std::fmt::Write as _;

use super::Planted;
use crate::event::Finding;
use crate::telemetry::columns;
use crate::units::FRAME_RATE;

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Seconds of a row, and of one on a terminal that is narrower than the former.
const ROW_S: [usize; 2] = [60, 30];
/// Columns before the scores.
const MARGIN: usize = 12;

/// The legend.
pub(super) const LEGEND: &str = "· learning, ▁ normal … █ 8 or more; ● heard, ▲ missed, ○ false alarm";

/// One row a minute, or half a one: scores as they come, then what was planted and what was reported.
pub(super) struct Chart<'a> {
    name: &'static str,
    planted: &'a [Planted],
    /// Output that is not written yet.
    text: String,
    events: Vec<f64>,
    frames: usize,
    /// Seconds of a row.
    row_s: usize,
    peak: Option<f64>,
}

impl<'a> Chart<'a> {
    /// Of the microphone `name`.
    pub(super) fn new(name: &'static str, planted: &'a [Planted]) -> Self {
        let [wide, narrow] = ROW_S;
        let row_s = if columns().is_none_or(|columns| columns >= MARGIN + wide) { wide } else { narrow };
        Self { name, planted, text: String::new(), events: Vec::new(), frames: 0, row_s, peak: None }
    }

    /// Whether the last row is whole.
    pub(super) fn is_between_rows(&self) -> bool {
        self.frames.is_multiple_of(FRAME_RATE as usize * self.row_s)
    }

    /// Takes the pending output.
    pub(super) fn takes_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    pub(super) fn event(&mut self, finding: &Finding) {
        self.events.push(finding.onset_s);
    }

    /// The next frame's score, none while learning.
    pub(super) fn frame(&mut self, score: Option<f64>) {
        if let Some(score) = score {
            self.peak = Some(self.peak.map_or(score, |peak| peak.max(score)));
        }
        self.frames += 1;
        if !self.frames.is_multiple_of(FRAME_RATE as usize) {
            return;
        }
        let second = self.frames / FRAME_RATE as usize - 1;
        if second.is_multiple_of(self.row_s) {
            let _ = write!(self.text, "{:>5} {:<6}", clock(second), self.name);
        }
        self.text.push(self.peak.take().map_or('·', |peak| {
            let height = peak.clamp(0.0, 8.0).round() as usize;
            BLOCKS.get(height.max(1)).copied().unwrap_or('█')
        }));
        if (second + 1).is_multiple_of(self.row_s) {
            self.marks(second + 1 - self.row_s, self.row_s);
        }
    }

    /// Ends a row that is not full.
    pub(super) fn finish(&mut self) {
        let seconds = self.frames / FRAME_RATE as usize;
        let left = seconds % self.row_s;
        if left > 0 {
            self.marks(seconds - left, left);
        }
    }

    fn marks(&mut self, from: usize, seconds: usize) {
        let mut line = String::new();
        let within = |t: f64, second: usize| t as usize == second;
        for second in from..from + seconds {
            let missed = |p: &Planted| !self.events.iter().any(|&t| p.explains(t));
            let sign = match self.events.iter().find(|&&t| within(t, second)) {
                Some(&t) if self.planted.iter().any(|p| p.explains(t)) => '●',
                Some(_) => '○',
                None if self.planted.iter().any(|p| within(p.onset_s, second) && missed(p)) => '▲',
                None => ' ',
            };
            let _ = write!(line, "{sign}");
        }
        let _ = writeln!(self.text, "\n            {}", line.trim_end());
    }
}

fn clock(second: usize) -> String {
    format!("{}:{:02}", second / 60, second % 60)
}
