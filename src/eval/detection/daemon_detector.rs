//! A model with the daemon's detector.

use std::sync::Arc;

use super::measure::{DetectorOutput, DetectorUnderTest, Options};
use super::outcome::Alarm;
use crate::corpus::rare::Stream;
use crate::detect::{DetectConfig, Detector, DetectorModel, Input};
use crate::error::Result;
use crate::eval::baselines::{ROW, StreamFeatures};
use crate::event::Phase;
use crate::model::{Cpc, Manifest, OfflineStepper};
use crate::units::HOP;

/// Hops of a step of the model.
const PIECE: usize = 500;

/// The detector of the daemon on the frames of a model, as the daemon runs it.
#[derive(Debug, Clone)]
pub struct DaemonDetector {
    /// Its name.
    pub name: String,
    /// The model.
    pub cpc: Arc<Cpc>,
    /// Its manifest.
    pub manifest: Manifest,
}

impl DetectorUnderTest for DaemonDetector {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, stream: &Stream, _: &StreamFeatures, options: &Options) -> Result<DetectorOutput> {
        let whole = stream.samples.len() / HOP * HOP;
        let mut passage = OfflineStepper::new(Arc::clone(&self.cpc))?;
        let hash = self.manifest.sha256.clone();
        let detector_model = DetectorModel::new(self.manifest.frame_shape(), hash, self.cpc.critic())?;
        let mut detectors = options
            .budgets
            .iter()
            .map(|&events_per_hour| {
                let calibrate_seconds = stream.quiet_s - options.detect.settle_ms / 1000.0 - 0.1;
                let config = DetectConfig {
                    events_per_hour,
                    calibrate_seconds: calibrate_seconds.floor(),
                    ..options.detect.clone()
                };
                Detector::new(&config, detector_model.clone())
            })
            .collect::<Result<Vec<_>>>()?;
        let (mut frames, mut findings) = (Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(whole / HOP / ROW);
        let mut alarms: Vec<(f64, Vec<Alarm>)> = options.budgets.iter().map(|&b| (b, Vec::new())).collect();
        for piece in stream.samples.get(..whole).unwrap_or_default().chunks(PIECE * HOP) {
            frames.clear();
            passage.step(piece, &mut frames)?;
            for (number, (detector, (_, alarms))) in detectors.iter_mut().zip(&mut alarms).enumerate() {
                for frame in &frames {
                    let reading = detector.push(frame, Input::GOOD, &mut findings);
                    if number == 0 && (frame.index + 1).is_multiple_of(ROW as u64) {
                        rows.push(reading.score.unwrap_or(0.0));
                    }
                }
                let begun = findings.drain(..).filter(|f| f.phase == Phase::New);
                alarms.extend(begun.map(|f| Alarm { onset_s: f.onset_s, emitted_s: f.emitted_s }));
            }
        }
        Ok(DetectorOutput { rows, alarms })
    }
}
