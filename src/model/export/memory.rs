//! What a stream remembers between pieces: one tensor, cut into the parts that layers read.

use super::{BATCH, Export};
use crate::onnx_file::{Attribute, Dim};

/// The parts of the state so far.
pub(super) struct Memory {
    kept: bool,
    /// Name and numbers of each part.
    parts: Vec<(String, usize)>,
    /// The value that each part has after the piece, `[batch, numbers]`.
    next: Vec<String>,
}

impl Memory {
    /// None where whole clips are read.
    pub(super) fn new(kept: bool) -> Self {
        Self { kept, parts: Vec::new(), next: Vec::new() }
    }

    /// Whether anything is remembered.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// The name of a further part, `[batch, numbers]`, where anything is remembered; `dims` are those of a stream.
    pub(super) fn take(&mut self, dims: &[usize]) -> Option<String> {
        self.kept.then(|| {
            let name = format!("state.{}", self.parts.len());
            self.parts.push((name.clone(), dims.iter().product()));
            name
        })
    }
}

impl Export<'_> {
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
