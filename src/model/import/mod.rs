//! Checkpoints of CPC_audio (PyTorch) as models of this program.
//!
//! Training checkpoints (`{"gEncoder", "cpcCriterion", "optimizer", "best"}` with a `checkpoint_args.json` beside
//! them), the form of torch.hub (`{"config", "weights"}`) and bare state dicts are read. Settings are compared with the
//! shapes of the tensors; where both say nothing, the defaults of CPC_audio hold and the [`ImportReport`] says so. What
//! a causal stream cannot run is refused by name, and so is every tensor that the import does not use.

mod checkpoint;
mod context;
mod convert;
mod encoder;
mod heads;
mod report;
mod settings;
mod unsupported;
mod weights;

pub use convert::{ImportOptions, Imported, import};
pub use report::ImportReport;
