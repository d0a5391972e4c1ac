//! All that a stream remembers at a moment, as bytes: for a worker that goes on with the next sample.

use sha2::{Digest, Sha256};

use super::{Engine, StreamPipeline};
use crate::detect::exact::Exact;
use crate::detect::{Calibration, Detector};
use crate::error::{Error, Result};

/// Version of the form. To be counted up with each change of what a stream remembers.
const MEMORY_VERSION: u32 = 4;

/// What a stream remembers: its model's memory, its detector, its samples that fill no hop yet, its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMemory {
    /// All but the calibrations.
    pub bytes: Vec<u8>,
    /// Ids of the calibrations that belong to it.
    pub calibrations: Vec<String>,
}

impl Engine {
    /// All that a stream remembers after the samples that it was fed; none while its detector collects sound for a calibration or
    /// is in background calibration, or an operation waits.
    ///
    /// # Errors
    /// When the stream is over, or the device fails.
    pub fn memory(&self, stream: usize) -> Result<Option<StreamMemory>> {
        let over = || Error::internal("a stream that is over has no memory");
        let pipeline = self.pipeline(stream).ok_or_else(over)?;
        let reported = self.pending_findings.iter().all(|(of, _)| *of != stream)
            && self.back.iter().all(|(of, _)| *of != stream);
        if pipeline.learns() || !reported {
            return Ok(None);
        }
        let Some(detector) = pipeline.detector().memory() else { return Ok(None) };
        let mut bytes = self.fingerprint();
        self.batch.next_frame(pipeline.slot)?.write(&mut bytes);
        self.batch.memory(pipeline.slot)?.write(&mut bytes);
        bytes.extend_from_slice(&detector.bytes);
        if pipeline.write_memory(&mut bytes).is_none() {
            return Ok(None);
        }
        Ok(Some(StreamMemory { bytes, calibrations: detector.calibrations }))
    }

    /// Adds a stream that goes on where the one was of which `bytes` are the [`memory`](Self::memory); `find` gives calibrations by
    /// their ids. The model, `[detect]` and the build have to be the same.
    ///
    /// # Errors
    /// When they are not, a calibration is missing, the memory is damaged, or the device fails.
    pub fn resume(
        &mut self,
        id: impl Into<String>,
        bytes: &[u8],
        find: &mut dyn FnMut(&str) -> Option<Calibration>,
    ) -> Result<usize> {
        let other = || {
            Error::config(
                "the memory is of another build, model or [detect]",
                "give all workers the same program, model and [detect]",
            )
        };
        let damaged = || Error::internal("the memory is damaged");
        let mut from = bytes.strip_prefix(self.fingerprint().as_slice()).ok_or_else(other)?;
        let next = u64::read(&mut from).ok_or_else(damaged)?;
        let model: Vec<f32> = Exact::read(&mut from).ok_or_else(damaged)?;
        let detector = Detector::resume(&self.detect, &self.detector_model, &mut from, find)?;
        let stream = self.add(id, crate::units::MODEL_RATE, None)?;
        let slot = self.pipeline_mut(stream)?.slot;
        let id = std::mem::take(&mut self.pipeline_mut(stream)?.id);
        let resumed = StreamPipeline::resume(id, slot, detector, &mut from).filter(|_| from.is_empty());
        let Some(resumed) = resumed else {
            self.discard(stream)?;
            return Err(damaged());
        };
        let pipeline = self.pipeline_mut(stream)?;
        let (recent, spectrogram) = (pipeline.recent.take(), pipeline.spectrogram.take());
        *pipeline = resumed;
        (pipeline.recent, pipeline.spectrogram) = (recent, spectrogram);
        if let Err(error) = self.batch.set_memory(slot, next, &model) {
            self.discard(stream)?;
            return Err(error);
        }
        Ok(stream)
    }

    /// What has to be the same where a memory is used.
    fn fingerprint(&self) -> Vec<u8> {
        let detect = serde_json::to_string(&self.detect).unwrap_or_default();
        let words = [env!("CARGO_PKG_VERSION"), &self.detector_model.model, &detect];
        let mut hash = Sha256::new();
        hash.update(MEMORY_VERSION.to_le_bytes());
        for word in words {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word.as_bytes());
        }
        hash.finalize().to_vec()
    }
}
