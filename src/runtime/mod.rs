//! The daemon: sources, engine, publisher and the supervisor around them.
//!
//! | thread | runs |
//! | --- | --- |
//! | one a source | the audio callback, or the reading of a file or pipe: pushes samples into rings |
//! | `inference` | rings → [`Engine`] (resample, step the batch, score, detect) → publisher |
//! | `publish` | the outbox and the MQTT session, or JSON lines on stdout |
//! | `main` | [`run`]: signals, device notices, health, the watchdog, the ordered stop |

mod calibrations;
mod daemon;
mod engine;
mod health;
mod inference;
mod lane;
mod stamp;

pub use calibrations::CalibrationStore;
pub use daemon::run;
pub use engine::{Engine, Heard};
pub use lane::{Lane, LaneCounters};
pub use stamp::Stamp;
