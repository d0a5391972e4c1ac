//! Rare-event streams in families, and the truth about them.
//!
//! In the manner of DCASE 2017 task 2, but as streams: a background of several minutes, the first part of which is free
//! of anomalies. From then on slots hold anomalies and controls in turn. An anomaly ([`Planted`], [`AnomalyKind`])
//! belongs to a [`Family`]: a foreign sound is added, a beat of a machine is missing or the machine stops, the machine
//! develops a fault. A control ([`Control`], [`ControlKind`]) is no event: gain steps, swells, another recording of the
//! background's own kind, slow weather, another colour of the microphone, and the joins of the background itself.
//! Streams of the family [`Family::Benign`] hold controls alone.
//!
//! Backgrounds are uninterrupted recordings first, played in their order, and clips of one kind second. A recording
//! that is shorter than a stream is calibrated on in one part and tested on in the other; repeated sound is counted
//! ([`Stream::repeated_s`]).
//!
//! [`Material`] holds the sounds, from a folder with a manifest or synthesised; [`SceneRecipe`] holds the settings. The same
//! material, recipe and seed give the same samples.

mod background;
mod controls;
mod cut;
mod family;
mod faults;
mod filter;
mod foreign;
mod machine;
mod material;
mod mixer;
mod playback;
mod recipe;
mod rhythm;
mod source;
mod synthetic;

pub use background::{Background, Continuity, Material};
pub(crate) use cut::{active_part, to_level, without_padding};
pub use family::{AnomalyKind, ControlKind, Family};
pub(crate) use foreign::plant;
pub use mixer::{Stream, StreamPlan};
pub(crate) use playback::join;
pub use recipe::{Control, Planted, SceneRecipe};
pub use source::{Role, role_of};
