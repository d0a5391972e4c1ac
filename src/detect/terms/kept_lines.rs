//! Lines of the spectrum as calibration keeps them.

use super::fine_structure::{BINS, FineStructure};
use crate::detect::kept::Kept;
use crate::detect::row_layout::ROW;

/// The fine structure of each row of frames that are kept, 8 bits a bin; and the sound that the next is made of.
#[derive(Debug, Clone)]
pub(in crate::detect) struct KeptLines {
    structure: FineStructure,
    /// All 0 where a row has none.
    rows: Kept<i8>,
}

impl KeptLines {
    /// For frames that are kept or dropped in chunks of so many, a whole number of rows.
    pub(in crate::detect) fn new(chunk: usize) -> Self {
        Self { structure: FineStructure::new(), rows: Kept::new(BINS, chunk / ROW) }
    }

    /// Takes the samples of the next hop, which may or may not follow the last.
    pub(in crate::detect) fn push(&mut self, hop: &[f32], follows: bool) {
        if !follows {
            self.structure = FineStructure::new();
        }
        self.structure.push(hop);
    }

    /// Keeps the row that ends with the last hop, where `frames` have been kept.
    pub(in crate::detect) fn keep(&mut self, frames: usize) {
        if frames.is_multiple_of(ROW) {
            self.rows.append(self.structure.row().unwrap_or([0; BINS]).into_iter());
        }
    }

    /// The row that ends with kept frame `frame`; none where its window was not full, and of silence.
    pub(super) fn row(&self, frame: usize) -> Option<&[i8]> {
        self.rows.get(frame / ROW, 0..BINS).filter(|bins| bins.iter().any(|bin| *bin != 0))
    }

    /// Keeps the first chunk of every two, whole ones alone.
    pub(in crate::detect) fn thin_out(&mut self) {
        self.rows.thin_out();
    }

    /// Rows.
    #[cfg(test)]
    pub(in crate::detect) fn len(&self) -> usize {
        self.rows.len()
    }
}
