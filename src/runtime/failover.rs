//! Failover of an engine to the CPU, and its reconfiguration.

use std::sync::Arc;

use candle_core::Device;

use super::{Engine, EngineOutput};
use crate::config::Config;
use crate::detect::{DetectConfig, Detector};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::{self, Cpc, Manifest, Stepping};
use crate::nn::LabelSpace;

/// Difference of a GPU's scores from the CPU's, in nats, up to which it is trusted: rounding of f32 sums, and of
/// products with fewer bits.
#[must_use]
pub fn trusted_difference(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-3,
        _ => 0.05,
    }
}

/// The warmed-up engine on its device; the CPU is the fallback of a GPU.
pub(super) fn start_engine(config: &Config) -> Result<(Engine, Manifest)> {
    let open = |device: &Device| model::open(config.model.file(), device);
    let device = model::compute_device(&config.model.device).unwrap_or_else(|error| {
        tracing::warn!("{error}; the model runs on the CPU; {}", error.fix());
        Device::Cpu
    });
    let stepping = config.model.stepping();
    // analysis threads have their own streams, so that a step needs no further threads
    let alone = stepping.on_processor().by_one_thread();
    let start = |(manifest, cpc): (Manifest, Arc<Cpc>), stepping: Stepping| -> Result<(Engine, Manifest)> {
        let stepping = stepping.measured(&cpc)?;
        let mut engine = Engine::stepped(cpc, &manifest, config.detect.clone(), stepping)?;
        engine.batch_hops(config.model.hop_batch);
        let space = model::label_space(config.model.file(), &manifest)?;
        if space.is_none() {
            tracing::info!("the model has no label space: sounds that have a label are not known again");
        }
        engine.set_label_space(space);
        engine.warm_up()?;
        Ok((engine, manifest))
    };
    if device.is_cpu() {
        return start(open(&Device::Cpu)?, alone);
    }
    let fallback = open(&Device::Cpu)?;
    let on_device = open(&device).and_then(|(manifest, cpc)| {
        let off = model::max_pmi_difference(&cpc, stepping, &fallback.1)?;
        if off > trusted_difference(config.model.precision) {
            return Err(Error::internal(format!("its scores are off by up to {off:.1e} nats")));
        }
        start((manifest, cpc), stepping)
    });
    match on_device {
        Ok((mut engine, manifest)) => {
            engine.set_fallback(fallback.1)?;
            Ok((engine, manifest))
        }
        Err(error) => {
            tracing::warn!("{}: {error}; the model runs on the CPU", config.model.device);
            start(fallback, alone)
        }
    }
}

impl Engine {
    /// Gives events of streams that are added from here on an embedding in `space`, by which labels know them again.
    pub fn set_label_space(&mut self, space: Option<LabelSpace>) {
        self.detector_model = self.detector_model.clone().with_label_space(space);
    }

    /// Sets `fallback`, the same model on the CPU, as the fallback when the device of the model fails. Streams continue
    /// there without a gap.
    ///
    /// # Errors
    /// When the device fails now.
    pub fn set_fallback(&mut self, fallback: Arc<Cpc>) -> Result<()> {
        self.batch.enable_failover()?;
        self.fallback = Some(fallback);
        Ok(())
    }

    /// Fault injection: the device fails once after `steps` more steps.
    pub fn inject_failure_after(&mut self, steps: u64) {
        self.drill = Some(steps);
    }

    /// Whether the fallback is in use, or none was set.
    #[must_use]
    pub fn is_on_last_device(&self) -> bool {
        self.fallback.is_none()
    }

    /// Steps the streams that have a hop.
    pub(super) fn step(&mut self) -> Result<()> {
        if let Some(left) = &mut self.drill {
            if *left == 0 {
                self.drill = None;
                return Err(Error::internal("injected fault: the device is gone"));
            }
            *left -= 1;
        }
        if self.alone {
            return self.hops.chunks(1).try_for_each(|hop| self.batch.step(hop, &mut self.frames));
        }
        self.batch.step(&self.hops, &mut self.frames)
    }

    /// The device has failed with `error`: all streams continue with the fallback.
    ///
    /// # Errors
    /// `error`, where there is no spare.
    pub(super) fn fail_over(&mut self, error: &Error) -> Result<()> {
        let Some(fallback) = self.fallback.take() else { return Err(Error::internal(error.to_string())) };
        let reason = error.to_string();
        tracing::error!(
            "the device of the model failed ({}); the CPU takes over, restart to try the device again",
            reason.lines().next().unwrap_or_default()
        );
        self.batch = self.batch.fail_over(fallback)?;
        Ok(())
    }

    /// Applies `detect` from the next frame on, to a pending detector at its return. Where more than the budget
    /// changes, an ongoing event ends, and a stream in calibration restarts it.
    ///
    /// # Errors
    /// When a key is out of its range or does not fit the model; everything is as before then.
    pub fn reconfigure(&mut self, detect: &DetectConfig, sink: &mut dyn FnMut(EngineOutput)) -> Result<()> {
        Detector::new(detect, self.detector_model.clone())?;
        let budget_alone =
            *detect == DetectConfig { events_per_hour: detect.events_per_hour, ..self.detect.clone() };
        for stream in 0..self.pipelines.len() {
            if self.learners.is_none() {
                self.catch_up(stream, sink)?;
            }
            self.settings_of(stream, detect, budget_alone)?;
        }
        self.detect = detect.clone();
        self.report_pending_findings(sink);
        Ok(())
    }

    /// Reports the pending findings.
    pub(super) fn report_pending_findings(&mut self, sink: &mut dyn FnMut(EngineOutput)) {
        for (stream, finding) in self.pending_findings.drain(..) {
            if let Some(pipeline) = self.pipelines.get_mut(stream).and_then(Option::as_mut) {
                pipeline.note_event(&finding);
                if let Some(recent) = &mut pipeline.recent {
                    recent.record(&finding);
                }
            }
            sink(EngineOutput::Finding { stream, finding: Box::new(finding) });
        }
    }
}
