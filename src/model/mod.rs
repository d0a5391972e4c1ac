//! g_enc, g_ar and the heads W_k as one thing with a file format.
//!
//! A model file is a safetensors file whose metadata holds a [`Manifest`]: architecture, units, data, licence
//! and training figures, and the sha256 of the tensors. It is refused, with the reason, when tensors and
//! manifest disagree.

mod agreement;
mod auto_precision;
mod bank;
mod cpc;
mod device;
#[cfg(feature = "lab")]
pub mod export;
mod failover;
mod file;
#[cfg(feature = "lab")]
pub mod import;
mod label_space;
mod layers;
mod live;
mod manifest;
mod measure;
mod offline;
mod plan;
mod stepping;

pub use agreement::max_pmi_difference;
pub use bank::bank_of;
pub use cpc::{BANK, Cpc, CpcOutput, CpcState};
pub use device::{check_device, compute_device};
pub use file::{embedded, load, open, parse, read, read_embedded, replace_file, save};
pub use label_space::{label_space, write_label_space};
pub use live::LiveBatch;
pub use manifest::{Architecture, DataCard, Figures, MANIFEST_FORMAT, Manifest, Protocol, TrainingCard};
pub use measure::{WINDOW, measure};
pub use offline::OfflineStepper;
pub use plan::plan_of;
pub use stepping::Stepping;
