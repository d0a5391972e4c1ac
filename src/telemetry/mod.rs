//! Logs, and figures about the process and its hops.
//!
//! Logs go to stderr, so that stdout holds nothing but events. The level is `RUST_LOG`, else `info`.

mod hop_times;
mod log_throttle;
mod logs;
mod process;
mod terminal;
mod threads;

pub use hop_times::{DurationHistogram, Durations, HopTimes, Percentiles};
pub use log_throttle::LogThrottle;
pub(crate) use logs::mark_of_failure;
pub use logs::{LogConfig, LogFormat, init_logs};
pub(crate) use process::give_memory_back;
pub use process::{cpu_seconds, on_freed_memory, open_files, physical_cores, resident_bytes};
pub use terminal::{Column, columns, folded, head, row};
pub use threads::{ThreadActivity, ThreadMonitor};
