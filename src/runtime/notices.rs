//! Notices of sources, for the log, the broker and the page.

use super::daemon::Daemon;
use crate::capture::{Notice, SourceChange, xruns};
use crate::publish::{Availability, Outgoing};
use crate::serve::UiEvent;
use crate::telemetry::LogThrottle;

static FULL: LogThrottle = LogThrottle::new();

impl Daemon {
    /// Reports a change of a source.
    pub(super) fn report_notice(&self, notice: &Notice) {
        let (availability, source) = match &notice.change {
            SourceChange::Online { description } => {
                tracing::info!("{}: {description}", notice.source);
                (Availability::online(), &notice.source)
            }
            SourceChange::Offline { reason } => {
                tracing::warn!("{}: offline: {reason}", notice.source);
                (Availability::offline(reason.clone()), &notice.source)
            }
            SourceChange::Elsewhere { node } => {
                tracing::info!("{}: heard by {node}", notice.source);
                (Availability::elsewhere(node), &notice.source)
            }
            SourceChange::WrongRate { nominal, measured } => {
                tracing::warn!(
                    "{}: the device says {nominal} Hz and gives {measured} samples a second; it is taken at that. Its \
                     clock or its driver is wrong",
                    notice.source
                );
                return;
            }
            SourceChange::RateOff { nominal, measured } => {
                tracing::warn!(
                    "{}: {measured} samples a second come where {nominal} are configured: pitch and times are wrong by that. \
                     Set rate, channels and format in the source's `pcm` as the sender has them",
                    notice.source
                );
                return;
            }
            SourceChange::Xrun { count } => {
                tracing::warn!("{}: {}", notice.source, xruns(*count));
                return;
            }
            SourceChange::Ended { frames, failure } => {
                let why = failure.clone().unwrap_or_else(|| "end of the input".to_owned());
                match failure {
                    Some(_) => tracing::warn!("{}: {why} after {frames} samples", notice.source),
                    None => tracing::info!("{}: {why} after {frames} samples", notice.source),
                }
                (Availability::offline(why), &notice.source)
            }
        };
        for stream in notice.streams.iter() {
            self.feed.send(UiEvent::Presence { stream: stream.clone(), availability: availability.clone() });
            let message =
                Outgoing::Availability { stream: stream.clone(), availability: availability.clone() };
            if !self.publisher.sender().try_send(message)
                && let Some(held) = FULL.allow()
            {
                tracing::warn!("{source}: the publish queue is full, availability was not sent{held}");
            }
        }
    }
}
