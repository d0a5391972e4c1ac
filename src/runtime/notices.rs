//! What sources report, on its way to the log, the broker and the page.

use super::daemon::Daemon;
use crate::capture::{Change, Notice};
use crate::publish::{Availability, Outgoing};
use crate::serve::Said;
use crate::telemetry::Seldom;

static FULL: Seldom = Seldom::new();

impl Daemon {
    /// Tells of a change of a source.
    pub(super) fn tell(&self, notice: &Notice) {
        let (availability, source) = match &notice.change {
            Change::Online { description } => {
                tracing::info!("{}: {description}", notice.source);
                (Availability::online(), &notice.source)
            }
            Change::Offline { reason } => {
                tracing::warn!("{}: offline: {reason}", notice.source);
                (Availability::offline(reason.clone()), &notice.source)
            }
            Change::Elsewhere { node } => {
                tracing::info!("{}: heard by {node}", notice.source);
                (Availability::elsewhere(node), &notice.source)
            }
            Change::WrongRate { nominal, measured } => {
                tracing::warn!(
                    "{}: the device says {nominal} Hz and gives {measured} samples a second; it is taken at that. Its \
                     clock or its driver is wrong",
                    notice.source
                );
                return;
            }
            Change::RateOff { nominal, measured } => {
                tracing::warn!(
                    "{}: {measured} samples a second come where {nominal} are configured: pitch and times are wrong by that. \
                     Set rate, channels and format in the source's `pcm` as the sender has them",
                    notice.source
                );
                return;
            }
            Change::Xrun { count } => {
                tracing::warn!("{}: {count} overruns of the device", notice.source);
                return;
            }
            Change::Ended { frames, failure } => {
                let why = failure.clone().unwrap_or_else(|| "end of the input".to_owned());
                tracing::info!("{}: {why} after {frames} samples", notice.source);
                (Availability::offline(why), &notice.source)
            }
        };
        for stream in notice.streams.iter() {
            self.feed.say(Said::Presence { stream: stream.clone(), availability: availability.clone() });
            let message =
                Outgoing::Availability { stream: stream.clone(), availability: availability.clone() };
            if !self.publisher.sender().try_send(message)
                && let Some(held) = FULL.may_say()
            {
                tracing::warn!(held, "{source}: the publish queue is full, availability was not sent");
            }
        }
    }
}
