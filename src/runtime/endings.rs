//! Streams that end, and events whose sound has ended.

use std::time::Duration;

use super::Engine;
use super::inference::Inference;
use crate::detect::DetectorState;
use crate::error::Result;

/// A live stream without samples for so long is silent, and its event ends. Sources report after 2 s that they are
/// offline.
const AWAY: Duration = Duration::from_secs(4);

impl Inference {
    /// Closes a stream; it ends once all its sound is scored.
    pub(super) fn close(&mut self, index: usize) -> Result<()> {
        let Some(stream) = self.streams.get_mut(index).filter(|stream| !stream.closing) else {
            return Ok(());
        };
        stream.closing = true;
        stream.number.map_or(Ok(()), |number| self.engine.finish(number))
    }

    /// Ends the closed streams without sound left to score. True where there was one.
    pub(super) fn end_finished_streams(&mut self) -> Result<bool> {
        let mut any = false;
        for index in 0..self.streams.len() {
            let Some(stream) = self.streams.get(index).filter(|s| s.closing && !s.closed) else { continue };
            if stream.number.is_some_and(|number| !self.engine.is_idle(number)) {
                continue;
            }
            any = true;
            self.end(index)?;
            self.streams.get_mut(index).into_iter().for_each(|stream| stream.closed = true);
        }
        Ok(any)
    }

    /// Ends a stream although not all of it is scored, since the daemon is to stop.
    pub(super) fn give_up(&mut self, index: usize) -> Result<()> {
        let Some(stream) = self.streams.get_mut(index).filter(|stream| !stream.closed) else { return Ok(()) };
        (stream.closing, stream.closed) = (true, true);
        let Some(number) = stream.number else { return Ok(()) };
        let (id, left) = (&stream.feed.id, self.engine.waiting_s(number));
        if self.engine.learns(number) {
            tracing::warn!(
                "{id}: the stop came while it learnt what is normal, so that this is lost, and {left:.1} s of sound are \
                 not scored; the next start learns anew, or goes on with what was normal before"
            );
        } else {
            tracing::warn!(
                "{id}: {left:.1} s of sound are not scored, since the stop does not wait for them"
            );
        }
        self.end(index)
    }

    /// Ends a stream: a running event ends. What is not scored yet is shed.
    pub(super) fn end(&mut self, index: usize) -> Result<()> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        if let Some(number) = stream.number {
            let idle = self.engine.is_idle(number);
            if idle {
                warn_unfinished(&self.engine, number);
            }
            self.refresh(false);
            let counters = self.drive(|engine, sink| match idle {
                true => engine.end(number, sink),
                false => engine.abandon(number, sink),
            })?;
            if let Some(stream) = self.streams.get_mut(index) {
                stream.figures.samples = counters;
                stream.number = None;
            }
        }
        Ok(())
    }

    /// Ends the ongoing events of live streams without sound, so that their anomaly state is reset. Publishes anomaly
    /// states again that found the queue full.
    pub(super) fn end_events_of_silence(&mut self) -> Result<()> {
        for index in 0..self.streams.len() {
            let Some(stream) = self.streams.get(index).filter(|stream| stream.live) else { continue };
            let away = stream.last.is_some_and(|last| last.elapsed() >= AWAY);
            // sound that came before may still wait for its scores
            let silent =
                |&number: &usize| away && self.engine.is_idle(number) && self.engine.in_event(number);
            let Some(number) = stream.number.filter(silent) else { continue };
            tracing::info!(
                "{}: the event ends, since no sound has come for {} s",
                stream.feed.id,
                AWAY.as_secs()
            );
            self.drive(|engine, sink| engine.pause(number, sink))?;
        }
        self.publish_anomalies();
        Ok(())
    }

    /// Publishes for each stream of this thread whether an event is ongoing, where that is not published yet.
    pub(super) fn publish_anomalies(&mut self) {
        let Self { streams, sender, patient, .. } = self;
        streams
            .iter_mut()
            .filter(|stream| stream.owned)
            .for_each(|stream| stream.publish_anomaly(sender, *patient));
    }
}

/// Warns where sound ended during its calibration.
fn warn_unfinished(engine: &Engine, number: usize) {
    let Some(pipeline) = engine.pipeline(number) else { return };
    let (done, reported) = match pipeline.detector().state() {
        DetectorState::Calibrating { done } => (done, "nothing was reported"),
        DetectorState::Provisional { done } => (done, "only what is far from normal was reported"),
        DetectorState::Watching | DetectorState::Relearning { .. } => return,
    };
    tracing::warn!(
        "{}: the sound ended when calibration was {:.0} % done, so {reported}; give more of it, or a smaller \
         calibrate_seconds",
        pipeline.id,
        done * 100.0
    );
}
