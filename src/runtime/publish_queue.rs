//! The queue of documents before the thread `publish`.

use std::time::Duration;

use crate::publish::{EventSender, Outgoing};
use crate::telemetry::LogThrottle;

/// Patience with a full publish queue where sound can wait (replays).
const PATIENCE: Duration = Duration::from_secs(30);
static FULL: LogThrottle = LogThrottle::new();

/// Sends a document; false where it was refused. Where sound is `patient`, it waits for room.
pub(super) fn publish(sender: &EventSender, patient: bool, message: Outgoing) -> bool {
    let sent = if patient { sender.send_timeout(message, PATIENCE) } else { sender.try_send(message) };
    if !sent && let Some(held) = FULL.allow() {
        tracing::error!(
            "the publish queue is full or gone; a document was refused (counted in health){held}"
        );
    }
    sent
}
