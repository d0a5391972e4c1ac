//! Files that PyTorch wrote with `torch.save`, read without running any code in them.
//!
//! Two containers are known: the zip archive (PyTorch 1.6 and later) and the stream of pickles before it. Both hold one
//! pickle of plain values, in which tensors stand by reference, and the numbers of each storage apart.
//! [`TorchFile::open`] reads the pickle; [`TorchFile::tensor`] reads one tensor, so that unused tensors (the state of
//! an optimiser) cost nothing.
//!
//! A pickle is a program. The machine here knows the instructions that `torch.save` emits and a short list of
//! callables, which it imitates: dictionaries, `argparse.Namespace` and tensors. Anything else is refused by name. Sizes,
//! depths and offsets are checked before memory is asked for: a file costs memory in proportion to its length.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod dtype;
mod file;
mod globals;
mod legacy;
mod pickle;
mod source;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod zipped;

pub use dtype::Dtype;
pub use file::TorchFile;
pub use tensor::TensorSpec;
pub use value::{Kind, Value};

use crate::error::Error;

/// A file that is not what `torch.save` writes.
fn damaged(cause: impl Into<String>) -> Error {
    Error::model(cause, "give a whole file that `torch.save` wrote, of state dicts and plain settings")
}
