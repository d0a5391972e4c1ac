//! The ordered stop.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::daemon::{Daemon, ExitReason, notify_systemd};
use crate::error::{Error, Result};
use crate::serve::UiEvent;

/// Longest wait of a stop for the analysis of received sound, except for replays.
const LAST_SOUND: Duration = Duration::from_secs(3);
/// Longest wait for the release of a cluster's streams.
const LAST_GIVEN: Duration = Duration::from_millis(2500);
/// Longest wait for the disk to store detector states.
const LAST_WRITE: Duration = Duration::from_secs(1);

impl Daemon {
    /// Sources first, so that the rings run dry; then the engine, which ends running events; then the snapshots and
    /// the publisher, which store and deliver them.
    pub(super) fn stop(mut self, ended: ExitReason) -> Result<()> {
        notify_systemd(&[NotifyState::Stopping]);
        self.feed.send(UiEvent::Stopping);
        if self.cluster.as_ref().is_some_and(|cluster| !cluster.finish(LAST_GIVEN)) {
            tracing::warn!(
                "the streams were not given back in time; other workers take them when the leases run out"
            );
        }
        for source in &self.sources {
            source.handle.request_stop();
        }
        self.sources.clear();
        for shard in &self.shards {
            shard.progress.sources_gone.store(true, Ordering::Release);
        }
        let analysis = self.end_analysis();
        self.snapshots.finish();
        while let Ok(notice) = self.notices.try_recv() {
            self.report_notice(&notice);
        }
        if !self.state_writer.finish(LAST_WRITE) {
            tracing::warn!(
                "the disk did not take what is known of the streams; the next start knows less of them"
            );
        }
        if !self.feed.finish(LAST_WRITE) {
            tracing::warn!(
                "the disk did not take the last events; the page of the next start does not show them"
            );
        }
        self.days.finish(LAST_WRITE);
        self.report();
        let health = self.reporter.health();
        let report = self.publisher.stop(self.drain);
        tracing::info!(
            "stopped: {} samples scored, {} shed; events accepted {}, acknowledged {}, pending {}, dropped {}",
            health.samples_scored,
            health.samples_shed,
            report.accepted,
            report.acked,
            report.pending,
            report.dropped
        );
        for (stream, figures) in health.streams.iter().filter(|(_, figures)| figures.lost_samples > 0) {
            let lost = figures.lost_samples;
            tracing::warn!(
                "{stream}: {lost} samples are missing: its source had gaps, or gave them faster than they were scored"
            );
        }
        for (stream, figures) in health.streams.iter().filter(|(_, figures)| figures.not_finite > 0) {
            tracing::warn!("{stream}: {} samples were not finite and were taken as 0", figures.not_finite);
        }
        let lost = self.reporter.lines_lost();
        if !report.clean {
            tracing::error!("events that only memory held are lost; the outbox could not take them");
        }
        analysis?;
        if lost > 0 {
            return Err(Error::internal(format!(
                "{lost} event documents could not be written to stdout and are lost; see the log for the reason"
            )));
        }
        if ended == ExitReason::OfInput && health.samples_in == 0 {
            return Err(Error::device(
                "the input ended before its first sample",
                "check what is written into the pipe, or the file",
            ));
        }
        Ok(())
    }

    /// Waits a bounded time for the analysis of received sound.
    fn end_analysis(&mut self) -> Result<()> {
        let by = (!self.patient).then(|| Instant::now() + LAST_SOUND);
        let ended = std::mem::take(&mut self.shards).into_iter().map(|shard| shard.finish(by));
        ended.fold(Ok(()), Result::and)
    }
}
