//! Rare-event streams: backgrounds with foreign sounds planted in them, and the truth about both.
//!
//! In the manner of DCASE 2017 task 2, but as streams: a background of several minutes is joined from pieces of one
//! source, its first part is free of events, and from then on foreign sounds are planted at known levels relative to
//! the background beneath them ([`Planted`]). Between them are controls ([`Control`]), things that happen without
//! being an event: the joins themselves, steps of the gain, another recording of the background's own kind.
//!
//! [`Material`] is what streams are made of, from a folder with a manifest or synthesised; [`Recipe`] says how. The
//! same material, recipe and seed give the same samples.

mod material;
mod mixer;
mod recipe;
mod synthetic;

pub use material::{Background, Material};
pub(crate) use material::{active_part, to_level, without_padding};
pub use mixer::Stream;
pub(crate) use mixer::{join, plant};
pub use recipe::{Control, ControlKind, Planted, Recipe};
