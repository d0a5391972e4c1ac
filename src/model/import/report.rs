//! What an import found and did.

/// What was found in a checkpoint and what was done with it, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Form of the checkpoint and of its container.
    pub form: String,
    /// Where the settings came from.
    pub settings: String,
    /// Tensors that were read.
    pub tensors: usize,
    /// What was left in the file.
    pub skipped: Vec<String>,
    /// What became part of other weights.
    pub folded: Vec<String>,
    /// Values that are ambiguous in settings and tensors, and the defaults taken.
    pub assumed: Vec<String>,
}
