//! The report of an import.

/// The content of a checkpoint and the steps of its import, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Form of the checkpoint and of its container.
    pub form: String,
    /// Where the settings came from.
    pub settings: String,
    /// Tensors that were read.
    pub tensors: usize,
    /// Skipped entries.
    pub skipped: Vec<String>,
    /// Values that were folded into other weights.
    pub folded: Vec<String>,
    /// Values that are ambiguous in settings and tensors, and the defaults taken.
    pub assumed: Vec<String>,
}
