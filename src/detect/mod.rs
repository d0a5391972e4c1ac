//! From frames to findings.
mod config;
mod gpd;
mod novelty;
mod pool;
mod surprise;
mod tail;

pub use config::DetectConfig;
pub use gpd::Gpd;
pub use novelty::Novelty;
pub use surprise::Surprise;
pub use tail::{P_FLOOR, Tail};
