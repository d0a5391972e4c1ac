//! The result of a read of the next block.

use std::io;

/// The next thing in a file.
pub(super) enum Step {
    /// The block was filled.
    Sound,
    /// Something is odd about the file, but nothing is lost.
    Odd(String),
    /// A piece cannot be decoded; the next one may.
    Bad(String),
    /// The end, and what is missing there, where anything is.
    End(Option<String>),
    /// The input cannot be read.
    Failed(io::Error),
}
