//! What a stream remembers between pieces: one tensor, cut into the parts that layers read.

/// The parts of the state so far.
pub(super) struct Memory {
    pub(super) kept: bool,
    /// Name and numbers of each part.
    pub(super) parts: Vec<(String, usize)>,
    /// The value that each part has after the piece, `[batch, numbers]`.
    pub(super) next: Vec<String>,
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
