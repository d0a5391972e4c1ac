//! What an engine does when the ground moves under it: a device that fails, a configuration that changes.

use std::sync::Arc;

use candle_core::Device;

use super::{Engine, Heard};
use crate::config::Config;
use crate::detect::{DetectConfig, Detector};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::{self, Cpc, Manifest};

/// Difference of a GPU's scores from the CPU's, in nats, up to which it is trusted: rounding of sums in f32, and of what is
/// multiplied with fewer bits.
#[must_use]
pub fn trusted_difference(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-3,
        Precision::Tf32 | Precision::Bf16 | Precision::Int8 | Precision::Int7 => 0.05,
    }
}

/// The engine on its device, warm; the CPU stands by where that is a GPU.
pub(super) fn start_engine(config: &Config) -> Result<(Engine, Manifest)> {
    let open = |device: &Device| model::open(config.model.file(), device);
    let device = model::compute_device(&config.model.device).unwrap_or_else(|error| {
        tracing::warn!("{error}; the model runs on the CPU");
        Device::Cpu
    });
    let stepping = config.model.stepping();
    // threads of the analysis have streams of their own, a step needs no others
    let alone = stepping.on_processor().by_one_thread();
    let start = |(manifest, cpc): (Manifest, Arc<Cpc>), stepping| -> Result<(Engine, Manifest)> {
        let mut engine = Engine::stepped(cpc, &manifest, config.detect.clone(), stepping)?;
        engine.batch_hops(config.model.hop_batch);
        engine.warm_up()?;
        Ok((engine, manifest))
    };
    if device.is_cpu() {
        return start(open(&Device::Cpu)?, alone);
    }
    let spare = open(&Device::Cpu)?;
    let on_device = open(&device).and_then(|(manifest, cpc)| {
        let off = model::max_pmi_difference(&cpc, stepping, &spare.1)?;
        if off > trusted_difference(config.model.precision) {
            return Err(Error::internal(format!("its scores are off by up to {off:.1e} nats")));
        }
        start((manifest, cpc), stepping)
    });
    match on_device {
        Ok((mut engine, manifest)) => {
            engine.set_spare(spare.1)?;
            Ok((engine, manifest))
        }
        Err(error) => {
            tracing::warn!("{}: {error}; the model runs on the CPU", config.model.device);
            start(spare, alone)
        }
    }
}

impl Engine {
    /// `spare`, the same model on the CPU, takes over when the device of the model fails. Streams go on there as if
    /// nothing had been.
    ///
    /// # Errors
    /// When the device fails now.
    pub fn set_spare(&mut self, spare: Arc<Cpc>) -> Result<()> {
        self.batch.enable_failover()?;
        self.spare = Some(spare);
        Ok(())
    }

    /// For drills: the device fails once after `steps` more steps, as a GPU does that falls off the bus.
    pub fn fail_after(&mut self, steps: u64) {
        self.drill = Some(steps);
    }

    /// Whether the spare model has taken over, or none was given.
    #[must_use]
    pub fn is_on_last_device(&self) -> bool {
        self.spare.is_none()
    }

    /// Steps the streams that have a hop.
    pub(super) fn step(&mut self) -> Result<()> {
        if let Some(left) = &mut self.drill {
            if *left == 0 {
                self.drill = None;
                return Err(Error::internal("a drill: the device is gone"));
            }
            *left -= 1;
        }
        if self.alone {
            return self.hops.chunks(1).try_for_each(|hop| self.batch.step(hop, &mut self.frames));
        }
        self.batch.step(&self.hops, &mut self.frames)
    }

    /// The device has failed with `error`: all streams go on with the spare model.
    ///
    /// # Errors
    /// `error`, where there is no spare.
    pub(super) fn take_spare(&mut self, error: &Error) -> Result<()> {
        let Some(spare) = self.spare.take() else { return Err(Error::internal(error.to_string())) };
        let reason = error.to_string();
        tracing::error!(
            "the device of the model failed ({}); the CPU takes over, restart to try the device again",
            reason.lines().next().unwrap_or_default()
        );
        self.batch = self.batch.fail_over(spare)?;
        Ok(())
    }

    /// Watches by `detect` from the next frame on, a stream whose detector learns elsewhere from its return on. Where more than the budget changes, a running event ends, and a
    /// stream that still learns what is normal begins with that anew.
    ///
    /// # Errors
    /// When a key is out of its range or does not fit the model; everything is as before then.
    pub fn reconfigure(&mut self, detect: &DetectConfig, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        Detector::new(detect, self.instrument.clone())?;
        let budget_alone =
            *detect == DetectConfig { events_per_hour: detect.events_per_hour, ..self.detect.clone() };
        for stream in 0..self.lanes.len() {
            if self.learners.is_none() {
                self.catch_up(stream, sink)?;
            }
            self.settings_of(stream, detect, budget_alone)?;
        }
        self.detect = detect.clone();
        self.tell_orphans(sink);
        Ok(())
    }

    /// Tells what was found when nobody listened.
    pub(super) fn tell_orphans(&mut self, sink: &mut dyn FnMut(Heard)) {
        for (stream, finding) in self.orphans.drain(..) {
            if let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) {
                lane.note_event(&finding);
                if let Some(recent) = &mut lane.recent {
                    recent.note(&finding);
                }
            }
            sink(Heard::Finding { stream, finding: Box::new(finding) });
        }
    }
}
