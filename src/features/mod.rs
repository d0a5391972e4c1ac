//! z_t and c_t of recordings, in files that other programs read.
//!
//! Each recording is a stream of its own: the model begins with silence before its first sample. Frame u belongs to
//! the hop of samples 160 u to 160 u + 159 at 16 kHz and has the time of that hop's end in its own recording,
//! t = 160 (u + 1) / 16000 s. A last hop that the recording does not fill is left out.
//!
//! | format | what it holds |
//! | --- | --- |
//! | `F.safetensors` | `z` `[T, d]` and `c` `[T, h]` f32, `t` `[T]` f64, `file` `[T]` u32; a [`Card`] in the metadata |
//! | `F.npy` | c in `F.npy`, z in `F.z.npy`, t in `F.t.npy`, and `F.file.npy` where there is more than one recording |
//! | `F.parquet` | a row a frame: `file` (string), `t_s` (f64), `z` and `c` (lists of f32); a [`Card`] in the metadata |
//!
//! `file` counts the recordings from 0 in the order in which they were given. Several recordings follow one another
//! along T. A file is written beside its place and moved there once it is whole; memory does not grow with T.

mod arrays;
mod columns;
mod encode;
mod extract;
mod output;
mod part;
mod rows;
mod tensors;

pub use encode::{EncodeJob, EncodeProgress, encode};
pub use extract::Extractor;
pub use output::{FeatureFile, Format};
pub use rows::{CARD_KEY, Card, Recording, Rows};
