//! Logs, and figures about the process and its hops.
//!
//! Logs go to stderr, so that stdout holds nothing but events. The level is `RUST_LOG`, else `info`.

mod hop_times;
mod logs;
mod process;
mod seldom;
mod threads;

pub use hop_times::{Durations, HopTimes, Percentiles, Spread};
pub(crate) use logs::mark_of_failure;
pub use logs::{LogConfig, LogFormat, init_logs};
pub use process::{cpu_seconds, open_files, physical_cores, resident_bytes};
pub use seldom::Seldom;
pub use threads::{Movement, ThreadWatch};
