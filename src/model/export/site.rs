//! Bands normalised by the statistics of the training sound, or by running statistics of the site.

use super::encoder::numbers;
use super::graph::Export;
use crate::encode::BandStatistics;
use crate::error::Result;
use crate::nn::{BatchState, RunningNorm, StreamingModule};
use crate::onnx_file::{Attribute, Dim, Graph};
use candle_core::Device;

/// The three statistics of a stream.
const STATISTICS: [&str; 3] = ["mean", "variance", "frames"];

impl Export<'_> {
    /// `{from}.normalised`, `[batch, bands, frames]`.
    pub(super) fn site(&mut self, from: &str, seconds: u32, of: &BandStatistics) -> Result<()> {
        let bands = of.mean.len();
        let to = format!("{from}.normalised");
        let norm = RunningNorm::new(&of.mean, &of.deviation, seconds, &Device::Cpu)?;
        let start = norm.zero_state(1)?;
        if norm.least() == 0.0 {
            let deviation: Vec<f32> = of.deviation.iter().map(|d| (d * d).sqrt()).collect();
            self.graph.floats("site.mean", &[bands, 1], &of.mean);
            self.graph.floats("site.deviation", &[bands, 1], &deviation);
            self.graph.node("Sub", &[from, "site.mean"], &["bands.centred"], &[]);
            self.graph.node("Div", &["bands.centred", "site.deviation"], &[&to], &[]);
            return Ok(());
        }
        for (name, tensor) in STATISTICS.iter().zip(start.tensors()) {
            let wide = tensor.elem_count();
            self.graph.floats(&format!("site.{name}.start"), &[1, wide], &numbers(tensor)?);
            self.start(name, wide);
        }
        self.transpose(from, "bands.in_time", &[2, 0, 1]);
        let body = step(bands, (1.0 / norm.least()) as f32);
        let with = [("body", Attribute::Graph(&body)), ("num_scan_inputs", Attribute::Int(1))];
        let inputs = ["site.mean", "site.variance", "site.frames", "bands.in_time"];
        let ends = ["site.mean.end", "site.variance.end", "site.frames.end", "bands.by_site"];
        self.graph.node("Scan", &inputs, &ends, &with);
        self.transpose("bands.by_site", &to, &[1, 2, 0]);
        if self.memory.is_kept() {
            for name in STATISTICS {
                let [start, end, change] =
                    ["start", "end", "change"].map(|part| format!("site.{name}.{part}"));
                self.graph.node("Sub", &[&end, &start], &[&change], &[]);
                self.pack(&change);
            }
        }
        Ok(())
    }

    /// `site.{name}`, `[batch, wide]`, at the start of a piece. The state holds what has changed since the start of the stream, so that it begins
    /// as zeros.
    fn start(&mut self, name: &str, wide: usize) {
        let [start, now] = [format!("site.{name}.start"), format!("site.{name}")];
        match self.memory.take(&[wide]) {
            Some(change) => self.graph.node("Add", &[&change, &start], &[&now], &[]),
            None => {
                let [zero, one, width] = [0, 1, wide as i64].map(|value| self.graph.ints(&[value]));
                if name == STATISTICS[0] {
                    self.graph.node("Shape", &["samples"], &["samples.shape"], &[]);
                    self.graph.node("Slice", &["samples.shape", &zero, &one, &zero], &["batch"], &[]);
                }
                let shape = format!("site.{name}.shape");
                self.graph.node("Concat", &["batch", &width], &[&shape], &[("axis", Attribute::Int(0))]);
                self.graph.node("Expand", &[&start, &shape], &[&now], &[]);
            }
        }
    }
}

/// One frame of [`RunningNorm`].
fn step(bands: usize, most: f32) -> Graph {
    let mut graph = Graph::new("site");
    let dims = |wide: usize| [Dim::Any("batch"), Dim::Size(wide)];
    for (name, wide) in [("mean", bands), ("variance", bands), ("frames", 1), ("x", bands)] {
        graph.input(name, &dims(wide), "");
    }
    for (name, value) in
        [("one", 1.0), ("most", most), ("least_variance", RunningNorm::LEAST_VARIANCE as f32)]
    {
        graph.floats(name, &[], &[value]);
    }
    for (op, inputs, output) in [
        ("Add", &["frames", "one"][..], "more"),
        ("Min", &["more", "most"], "frames.next"),
        ("Reciprocal", &["frames.next"], "weight"),
        ("Sub", &["x", "mean"], "off"),
        ("Mul", &["off", "weight"], "moved"),
        ("Add", &["mean", "moved"], "mean.next"),
        ("Mul", &["off", "off"], "squared"),
        ("Mul", &["squared", "weight"], "added"),
        ("Add", &["variance", "added"], "grown"),
        ("Sub", &["one", "weight"], "kept"),
        ("Mul", &["grown", "kept"], "variance.next"),
        ("Sub", &["x", "mean.next"], "centred"),
        ("Add", &["variance.next", "least_variance"], "floored"),
        ("Sqrt", &["floored"], "deviation"),
        ("Div", &["centred", "deviation"], "y"),
    ] {
        graph.node(op, inputs, &[output], &[]);
    }
    for (name, wide) in [("mean.next", bands), ("variance.next", bands), ("frames.next", 1), ("y", bands)] {
        graph.output(name, &dims(wide), "");
    }
    graph
}
