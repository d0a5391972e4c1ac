//! g_ar: `z` to `c`, `[batch, frames, h]`.

use super::encoder::numbers;
use super::graph::Export;
use crate::context::ContextConfig;
use crate::error::Result;
use crate::onnx_file::Attribute;
use candle_core::Tensor;

impl Export<'_> {
    pub(super) fn context(&mut self, config: &ContextConfig, latent: usize) -> Result<()> {
        let hidden = config.width();
        // ONNX has the gates in another order: of r, z, n and of i, f, g, o these places
        let (op, kind, gates) = match config {
            ContextConfig::Gru { .. } => ("GRU", "gru", &[1, 0, 2][..]),
            ContextConfig::Lstm { .. } => ("LSTM", "lstm", &[0, 3, 1, 2][..]),
        };
        let mut input = "z.in_time".to_owned();
        self.transpose("z", &input, &[1, 0, 2]);
        let directions = self.graph.ints(&[1]);
        for layer in 0..config.layers() {
            let name = format!("context.{kind}{layer}");
            let from = if layer == 0 { latent } else { hidden };
            self.gates(&name, gates, (from, hidden))?;
            let states: &[&str] = if op == "GRU" { &["h"] } else { &["h", "cell"] };
            let starts: Vec<Option<String>> =
                states.iter().map(|state| self.before(&name, state, hidden)).collect();
            let [w, r, b] = ["w", "r", "b"].map(|part| format!("{name}.{part}"));
            // an empty name is an input that is left out: lengths, and zeros at the start of a clip
            let mut inputs = vec![input.as_str(), &w, &r, &b, ""];
            inputs.extend(starts.iter().flatten().map(String::as_str));
            if starts.iter().all(Option::is_none) {
                inputs.pop();
            }
            let ends: Vec<String> = states.iter().map(|state| format!("{name}.{state}.next")).collect();
            let all = format!("{name}.all");
            let mut outputs = vec![all.as_str()];
            outputs.extend(ends.iter().map(String::as_str));
            let mut with = vec![("hidden_size", Attribute::Int(hidden as i64))];
            if op == "GRU" {
                with.push(("linear_before_reset", Attribute::Int(1)));
            }
            self.graph.node(op, &inputs, &outputs, &with);
            for (start, end) in starts.iter().zip(&ends) {
                self.after(start.is_some(), end);
            }
            input = format!("{name}.out");
            self.graph.node("Squeeze", &[&all, &directions], &[&input], &[]);
        }
        self.transpose(&input, "c", &[1, 0, 2]);
        Ok(())
    }

    /// What a layer remembers of the last piece, `[1, batch, h]`.
    fn before(&mut self, name: &str, state: &str, hidden: usize) -> Option<String> {
        let part = self.memory.take(&[hidden])?;
        let axis = self.graph.ints(&[0]);
        let value = format!("{name}.{state}");
        self.graph.node("Unsqueeze", &[&part, &axis], &[&value], &[]);
        Some(value)
    }

    fn after(&mut self, kept: bool, end: &str) {
        if kept {
            let (axis, value) = (self.graph.ints(&[0]), format!("{end}.row"));
            self.graph.node("Squeeze", &[end, &axis], &[&value], &[]);
            self.pack(&value);
        }
    }

    /// The weights of a layer, their gates in the order of ONNX, with a dimension for directions.
    fn gates(&mut self, name: &str, order: &[usize], (from, hidden): (usize, usize)) -> Result<()> {
        let rows = order.len() * hidden;
        let sorted = |part: &str, dims: &[usize]| -> Result<Vec<f32>> {
            let weights = self.source.get(&format!("{name}.{part}"), dims)?;
            let gates = order.iter().map(|&gate| weights.narrow(0, gate * hidden, hidden));
            numbers(&Tensor::cat(&gates.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
        };
        let (w, r) = (sorted("weight_ih", &[rows, from])?, sorted("weight_hh", &[rows, hidden])?);
        let b = [sorted("bias_ih", &[rows])?, sorted("bias_hh", &[rows])?].concat();
        self.graph.floats(&format!("{name}.w"), &[1, rows, from], &w);
        self.graph.floats(&format!("{name}.r"), &[1, rows, hidden], &r);
        self.graph.floats(&format!("{name}.b"), &[1, 2 * rows], &b);
        Ok(())
    }
}
