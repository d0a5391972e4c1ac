//! What the publish thread takes.

use crossbeam_channel::Sender;
use serde::Serialize;

use super::outgoing::Outgoing;

/// A message to the publish thread.
pub(super) enum Inbound {
    Out(Outgoing),
    Flush(Sender<()>),
}

/// JSON of a document of ours. These have string keys only, so that nothing can fail; NaN becomes null.
pub(super) fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}
