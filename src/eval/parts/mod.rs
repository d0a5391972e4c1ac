//! What each part of a score brings: single scores on the same streams, each by itself.
//!
//! Every part gives rows of 50 ms, averaged over 0.5 s where it is a score of frames; areas need no threshold, so none is
//! fitted. Negatives are exchanged ([`Bank`]), horizons are left out, densities are taken over z, c and log-mel bands.

mod density;
mod heard;
mod surprise;

pub use density::{Density, Over};
pub use heard::Heard;
pub use surprise::{Bank, Surprise};

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::detection::{Contender, Judged, Options};
use super::rivals::{ROW, Sound};
use crate::corpus::rare::Stream;
use crate::error::Result;
use crate::model::Cpc;
use crate::units::seconds_to_frames;

/// A score by itself.
pub trait Part {
    /// What it is called.
    fn name(&self) -> String;

    /// A score for each row, after learning from the first `quiet` rows.
    ///
    /// # Errors
    /// When the model fails or the quiet part is too short.
    fn rows(&self, heard: &Heard, quiet: usize) -> Result<Vec<f64>>;
}

/// A part that takes part; all share the frames of the stream in hand.
pub struct Single {
    part: Box<dyn Part>,
    cpc: Arc<Cpc>,
    frames: Rc<RefCell<Option<(String, Heard)>>>,
}

impl Contender for Single {
    fn name(&self) -> String {
        self.part.name()
    }

    fn judge(&mut self, stream: &Stream, _: &Sound, _: &Options) -> Result<Judged> {
        let mut cache = self.frames.borrow_mut();
        if cache.as_ref().is_none_or(|(name, _)| *name != stream.name) {
            *cache = Some((stream.name.clone(), Heard::of(&self.cpc, &stream.samples)?));
        }
        let quiet = seconds_to_frames(stream.quiet_s) / ROW;
        let rows = cache.as_ref().map(|(_, heard)| self.part.rows(heard, quiet)).transpose()?;
        Ok(Judged { rows: rows.unwrap_or_default(), alarms: Vec::new() })
    }
}

/// All parts of a model.
///
/// # Errors
/// When the model has no heads.
pub fn all(cpc: &Arc<Cpc>) -> Result<Vec<Box<dyn Contender>>> {
    cpc.require_scorer()?;
    let mut parts: Vec<Box<dyn Part>> = Vec::new();
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
        Over::LatentMahalanobis,
        Over::LatentNeighbours,
        Over::LatentCentres,
        Over::ContextMahalanobis,
        Over::Bands,
        Over::Unexpected,
        Over::Departure,
        Over::BandsAndUnexpected,
    ] {
        parts.push(Box::new(Density { over }));
    }
    let frames = Rc::new(RefCell::new(None));
    let single = |part| Box::new(Single { part, cpc: Arc::clone(cpc), frames: Rc::clone(&frames) });
    Ok(parts.into_iter().map(|part| single(part) as Box<dyn Contender>).collect())
}
