//! Ablation: the components of the score, each alone on the same streams.
//!
//! Every part gives rows of 50 ms, averaged over 0.5 s where it is a score of frames; areas need no threshold, so none is
//! fitted. Negatives are exchanged ([`Bank`]), horizons are left out, densities are taken over z, c and log-mel bands.

mod density;
mod mahalanobis;
mod stream_frames;
mod surprise;

pub use density::{Density, DensityInput};
pub use stream_frames::StreamFrames;
pub use surprise::{Bank, Surprise};

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::baselines::{ROW, StreamFeatures};
use super::detection::{DetectorOutput, DetectorUnderTest, Options};
use crate::corpus::rare::Stream;
use crate::error::Result;
use crate::model::Cpc;
use crate::units::seconds_to_frames;

/// A component that scores alone.
pub trait ComponentScore {
    /// Its name.
    fn name(&self) -> String;

    /// A score for each row, after learning from the first `quiet` rows.
    ///
    /// # Errors
    /// When the model fails or the quiet part is too short.
    fn rows(&self, stream_frames: &StreamFrames, quiet: usize) -> Result<Vec<f64>>;
}

/// A component as a detector under test; all components share the frames of the current stream.
pub struct ComponentDetector {
    part: Box<dyn ComponentScore>,
    cpc: Arc<Cpc>,
    frames: Rc<RefCell<Option<(String, StreamFrames)>>>,
}

impl DetectorUnderTest for ComponentDetector {
    fn name(&self) -> String {
        self.part.name()
    }

    fn run(&mut self, stream: &Stream, _: &StreamFeatures, _: &Options) -> Result<DetectorOutput> {
        let mut cache = self.frames.borrow_mut();
        if cache.as_ref().is_none_or(|(name, _)| *name != stream.name) {
            *cache = Some((stream.name.clone(), StreamFrames::of(&self.cpc, &stream.samples)?));
        }
        let quiet = seconds_to_frames(stream.quiet_s) / ROW;
        let rows =
            cache.as_ref().map(|(_, stream_frames)| self.part.rows(stream_frames, quiet)).transpose()?;
        Ok(DetectorOutput { rows: rows.unwrap_or_default(), alarms: Vec::new() })
    }
}

/// All components of a model.
///
/// # Errors
/// When the model has no heads.
pub fn all(cpc: &Arc<Cpc>) -> Result<Vec<Box<dyn DetectorUnderTest>>> {
    cpc.require_scorer()?;
    let mut parts: Vec<Box<dyn ComponentScore>> = Vec::new();
    for skip_k in [0, 2, 5, 8] {
        parts.push(Box::new(Surprise { skip_k, bank: Bank::Model }));
    }
    for count in [16, 64, 128, 512] {
        parts.push(Box::new(Surprise { skip_k: 2, bank: Bank::Place(count) }));
    }
    for bank in [Bank::Fifo, Bank::Reservoir, Bank::Diverse] {
        parts.push(Box::new(Surprise { skip_k: 2, bank }));
    }
    for over in [
        DensityInput::LatentMahalanobis,
        DensityInput::LatentNeighbours,
        DensityInput::LatentCentres,
        DensityInput::ContextMahalanobis,
        DensityInput::Bands,
        DensityInput::ContextResidual,
        DensityInput::BandResidual,
        DensityInput::BandsAndContextResidual,
    ] {
        parts.push(Box::new(Density { over }));
    }
    let frames = Rc::new(RefCell::new(None));
    let single =
        |part| Box::new(ComponentDetector { part, cpc: Arc::clone(cpc), frames: Rc::clone(&frames) });
    Ok(parts.into_iter().map(|part| single(part) as Box<dyn DetectorUnderTest>).collect())
}
