//! `cpc-stream watch`: subscribes to a broker and shows what the daemons say, as it comes.

mod args;

pub use args::WatchArgs;

use crate::error::Result;

/// Prints until it is interrupted, its reader goes or `--count` is reached. Reconnects for ever once it was
/// connected.
///
/// # Errors
/// A configuration error for a bad address, node or password file; a broker error where no connection comes
/// about within 5 s.
#[cfg(feature = "mqtt")]
pub fn run(args: &WatchArgs) -> Result<()> {
    subscriber::run(args)
}

/// This program was built without MQTT.
///
/// # Errors
/// Always a configuration error.
#[cfg(not(feature = "mqtt"))]
pub fn run(_: &WatchArgs) -> Result<()> {
    Err(crate::error::Error::config(
        "this program was built without MQTT",
        "build it with the feature `mqtt`",
    ))
}

#[cfg(feature = "mqtt")]
mod lines;

#[cfg(feature = "mqtt")]
mod subscriber;
