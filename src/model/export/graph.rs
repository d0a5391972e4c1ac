//! A graph in the making: what the layers of a model have in common.

use super::memory::Memory;
use crate::error::Result;
use crate::nn::WeightSource;
use crate::onnx_file::{Attribute, Dim, Graph};

/// Streams, or clips.
pub(super) const BATCH: Dim = Dim::Any("batch");

/// A graph in the making, and where its weights come from.
pub(super) struct Export<'a> {
    pub(super) graph: Graph,
    pub(super) source: WeightSource<'a>,
    pub(super) memory: Memory,
}

impl Export<'_> {
    /// The weights called `name`, as a constant of that name.
    pub(super) fn weights(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        let values = self.source.get(name, dims)?.flatten_all()?.to_vec1::<f32>()?;
        self.graph.floats(name, dims, &values);
        Ok(())
    }

    pub(super) fn transpose(&mut self, from: &str, to: &str, order: &[i64]) {
        self.graph.node("Transpose", &[from], &[to], &[("perm", Attribute::Ints(order))]);
    }

    /// A causal convolution over `[batch, channels, time]`, whose input `name.in` it prepends with what is remembered of it.
    pub(super) fn convolution(
        &mut self,
        (from, name): (&str, &str),
        weights: &[&str],
        channels: usize,
        (kernel, stride): (usize, usize),
    ) {
        let past = kernel - stride;
        let (input, silence) = match self.memory.take(&[channels, past]) {
            None => (from.to_owned(), past as i64),
            Some(remembered) => {
                let input = format!("{name}.in");
                let axis = [("axis", Attribute::Int(2))];
                self.unpack(&remembered, &format!("{name}.past"), &[channels, past]);
                self.graph.node("Concat", &[&format!("{name}.past"), from], &[&input], &axis);
                let [starts, ends, axes] =
                    [-(past as i64), i64::MAX, 2].map(|value| self.graph.ints(&[value]));
                let next = format!("{name}.next");
                self.graph.node("Slice", &[&input, &starts, &ends, &axes], &[&next], &[]);
                self.pack(&next);
                (input, 0)
            }
        };
        let inputs: Vec<&str> = std::iter::once(input.as_str()).chain(weights.iter().copied()).collect();
        let with = [
            ("kernel_shape", Attribute::Ints(&[kernel as i64])),
            ("strides", Attribute::Ints(&[stride as i64])),
            ("pads", Attribute::Ints(&[silence, 0])),
        ];
        self.graph.node("Conv", &inputs, &[name], &with);
    }

    /// Gives a part of the state its dimensions.
    pub(super) fn unpack(&mut self, part: &str, name: &str, dims: &[usize]) {
        let shape: Vec<i64> = std::iter::once(0).chain(dims.iter().map(|&size| size as i64)).collect();
        let shape = self.graph.ints(&shape);
        self.graph.node("Reshape", &[part, &shape], &[name], &[]);
    }

    /// Makes `value` what the oldest part that has none yet is after the piece.
    pub(super) fn pack(&mut self, value: &str) {
        let name = format!("state.{}.next", self.memory.next.len());
        self.graph.node("Flatten", &[value], &[&name], &[("axis", Attribute::Int(1))]);
        self.memory.next.push(name);
    }

    /// Adds state in and out to the graph; gives its numbers a stream.
    pub(super) fn remember(&mut self) -> usize {
        let (names, sizes): (Vec<&str>, Vec<i64>) =
            self.memory.parts.iter().map(|(name, numbers)| (name.as_str(), *numbers as i64)).unzip();
        let width = sizes.iter().sum::<i64>() as usize;
        if !self.memory.kept {
            return 0;
        }
        let axis = [("axis", Attribute::Int(1))];
        let split = self.graph.ints(&sizes);
        self.graph.node_first("Split", &["state", &split], &names, &axis);
        let next: Vec<&str> = self.memory.next.iter().map(String::as_str).collect();
        self.graph.node("Concat", &next, &["next_state"], &axis);
        let dims = [BATCH, Dim::Size(width)];
        self.graph.input(
            "state",
            &dims,
            "what each stream remembers: zeros at its start, then the next_state of its last piece",
        );
        self.graph.output("next_state", &dims, "what each stream remembers after this piece");
        width
    }
}
