//! The score over time, drawn in the terminal while it is heard.

use std::fmt::Write as _;

use super::super::args::Output;
use super::Planted;
use crate::error::Result;
use crate::event::Finding;
use crate::units::FRAME_RATE;

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ROW_S: usize = 60;

/// What the signs mean.
pub(super) const LEGEND: &str = "· learning, ▁ normal … █ 8 or more; ● heard, ▲ missed, ○ false alarm";

/// One row a minute: scores as they come, then what was planted and what was reported.
pub(super) struct Chart<'a> {
    planted: &'a [Planted],
    events: Vec<f64>,
    frames: usize,
    peak: Option<f64>,
}

impl<'a> Chart<'a> {
    pub(super) fn new(planted: &'a [Planted]) -> Self {
        Self { planted, events: Vec::new(), frames: 0, peak: None }
    }

    /// Seconds drawn so far.
    pub(super) fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(FRAME_RATE)
    }

    pub(super) fn event(&mut self, finding: &Finding) {
        self.events.push(finding.onset_s);
    }

    /// The next frame's score, none while learning.
    pub(super) fn frame(&mut self, score: Option<f64>, out: &mut Output) -> Result<()> {
        if let Some(score) = score {
            self.peak = Some(self.peak.map_or(score, |peak| peak.max(score)));
        }
        self.frames += 1;
        if !self.frames.is_multiple_of(FRAME_RATE as usize) {
            return Ok(());
        }
        let second = self.frames / FRAME_RATE as usize - 1;
        if second.is_multiple_of(ROW_S) {
            out.text(format_args!("{:>5} ", clock(second)))?;
        }
        let sign = self.peak.take().map_or('·', |peak| {
            let height = peak.clamp(0.0, 8.0).round() as usize;
            BLOCKS.get(height.max(1)).copied().unwrap_or('█')
        });
        out.text(format_args!("{sign}"))?;
        if (second + 1).is_multiple_of(ROW_S) {
            self.marks(second + 1 - ROW_S, ROW_S, out)?;
        }
        Ok(())
    }

    /// Ends a row that is not full.
    pub(super) fn finish(&mut self, out: &mut Output) -> Result<()> {
        let seconds = self.frames / FRAME_RATE as usize;
        let left = seconds % ROW_S;
        if left > 0 { self.marks(seconds - left, left, out) } else { Ok(()) }
    }

    fn marks(&self, from: usize, seconds: usize, out: &mut Output) -> Result<()> {
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
        out.line(format_args!("\n      {}", line.trim_end()))
    }
}

fn clock(second: usize) -> String {
    format!("{}:{:02}", second / 60, second % 60)
}
