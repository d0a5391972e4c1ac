//! The session of a stream that the workers of a cluster share.

use std::collections::BTreeSet;

use super::{EventBuilder, StreamMemory, StreamPipeline};
use crate::cluster::{AnalysisPort, AnalysisReport, Session, StreamSnapshot};
use crate::detect::{Detector, StreamState};
use crate::event::{Event, Finding};

/// The cluster session of a stream.
pub(super) struct ClusterSession {
    pub(super) inlet: AnalysisPort,
    /// The current session.
    pub(super) session: Option<Session>,
    /// Node in documents.
    node: String,
    /// JSON of the detector state at the end of the session.
    pub(super) known: Option<String>,
    /// Ids of the calibrations that the task of the stream knows.
    pub(super) reported: BTreeSet<String>,
}

impl ClusterSession {
    /// A stream without a session yet.
    pub(super) fn new(inlet: AnalysisPort, node: &str) -> Self {
        Self { inlet, session: None, node: node.to_owned(), known: None, reported: BTreeSet::new() }
    }

    /// Makes a document of a finding, and sends it; `None` without a current session.
    pub(super) fn report(
        &mut self,
        event_builder: &mut EventBuilder,
        stream: &str,
        finding: Finding,
    ) -> Option<Event> {
        let session = self.session.as_mut()?;
        let event = event_builder.shared_event(session, &self.node, stream, finding);
        session.next_seq += 1;
        self.inlet.report(AnalysisReport::Event(Box::new(event.clone())));
        Some(event)
    }

    /// Reports the detector state in the middle of a session.
    pub(super) fn report_known(&self, pipeline: Option<&StreamPipeline>) {
        let state = pipeline
            .filter(|pipeline| !pipeline.learns())
            .and_then(|pipeline| pipeline.detector().snapshot());
        if let Some(text) = state.and_then(|state| serde_json::to_string(&state).ok()) {
            self.inlet.report(AnalysisReport::Known(text));
        }
    }

    /// The snapshot of a stream whose memory is `memory`.
    pub(super) fn snapshot(
        &mut self,
        memory: StreamMemory,
        detector: &Detector,
    ) -> Option<Box<StreamSnapshot>> {
        let session = self.session.clone()?;
        let StreamMemory { bytes, calibrations } = memory;
        self.reported.retain(|id| calibrations.contains(id));
        let mut new = Vec::new();
        for id in &calibrations {
            if !self.reported.contains(id) {
                new.push((id.clone(), serde_json::to_string(detector.calibration_with(id)?).ok()?));
            }
        }
        self.reported.extend(calibrations.iter().cloned());
        Some(Box::new(StreamSnapshot { session, bytes, calibrations, new }))
    }

    /// Stores the detector state at the end of a session.
    pub(super) fn keep(&mut self, state: &StreamState) {
        self.known = serde_json::to_string(state).ok();
    }
}
