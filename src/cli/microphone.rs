//! `cpc-stream microphone`: a thin microphone. It needs no model; a daemon elsewhere analyses its sound.

mod args;

pub(super) use args::MicrophoneArgs;

use crate::error::Result;

/// Sends until it is stopped or its input ends. A broker that is away is tried again for ever; with MQTT sound in the meantime is
/// dropped, with NATS it waits.
///
/// # Errors
/// A configuration error for a bad address, id or file; a device error for an input that can never be one.
#[cfg(feature = "mqtt")]
pub(super) fn run(args: &MicrophoneArgs) -> Result<()> {
    speaker::run(args)
}

/// This program was built without MQTT.
///
/// # Errors
/// Always a configuration error.
#[cfg(not(feature = "mqtt"))]
pub(super) fn run(args: &MicrophoneArgs) -> Result<()> {
    tracing::debug!(?args, "built without MQTT");
    Err(crate::error::Error::config(
        "this program was built without MQTT",
        "build it with the feature `mqtt`",
    ))
}

#[cfg(feature = "mqtt")]
mod sender;
#[cfg(feature = "mqtt")]
mod speaker;
