//! One recording through the model.

use std::sync::Arc;

use candle_core::Tensor;

use super::rows::Rows;
use crate::corpus::SoundFile;
use crate::encode::{Encoder, Padding};
use crate::error::{Error, Result};
use crate::model::Cpc;
use crate::nn::StreamingModule;
use crate::units::{HOP, MODEL_RATE};

/// Samples of a piece: 5.12 s, long enough for large matrix products.
const PIECE: usize = 512 * HOP;

/// A model with a padding, for any number of recordings.
#[derive(Debug, Clone)]
pub struct Extractor {
    cpc: Arc<Cpc>,
    padding: Padding,
}

impl Extractor {
    /// An extractor.
    ///
    /// # Errors
    /// A model error when the encoder has no form with that padding.
    pub fn new(cpc: Arc<Cpc>, padding: Padding) -> Result<Self> {
        if padding == Padding::FbExact && !matches!(cpc.encoder(), Encoder::Raw(_)) {
            return Err(Error::model(
                "the padding fb-exact is of encoders on raw samples, and this model's is another",
                "leave `--padding` out: causal is what every model has",
            ));
        }
        Ok(Self { cpc, padding })
    }

    /// Hands the frames of a recording to `sink` in order, and gives their number. `id` is its place in the list
    /// of recordings and its name. A causal model takes it in pieces, with its state carried over, so that memory
    /// does not grow; the result is that of the whole. [`Padding::FbExact`] needs the whole recording at once.
    ///
    /// # Errors
    /// A device error when the recording cannot be read or holds less than a frame; what `sink` fails with.
    pub fn run(
        &self,
        sound: &mut SoundFile,
        id: &(u32, Arc<str>),
        sink: &mut dyn FnMut(&Rows) -> Result<()>,
    ) -> Result<u64> {
        let (mut samples, mut frames) = (Vec::new(), 0);
        let mut samples_in = 0;
        if self.padding == Padding::FbExact {
            while sound.read(&mut samples)? {}
            samples_in = samples.len();
            if samples_in >= HOP - 1 {
                let (z, c) = self.cpc.features(&self.tensor(&samples)?, self.padding)?;
                frames += emit(id, 0, (&z, &c), sink)?;
            }
        } else {
            // the two networks alone: scores are not asked for
            let (encoder, context) = (self.cpc.encoder(), self.cpc.context());
            let (mut near, mut far) = (encoder.zero_state(1)?, context.zero_state(1)?);
            let mut more = true;
            while more {
                let before = samples.len();
                more = sound.read(&mut samples)?;
                samples_in += samples.len() - before;
                let ready = if more { samples.len() / PIECE * PIECE } else { samples.len() / HOP * HOP };
                for piece in samples.get(..ready).unwrap_or_default().chunks(PIECE) {
                    let z = encoder.step(&self.tensor(piece)?, &mut near)?;
                    let c = context.step(&z, &mut far)?;
                    frames += emit(id, frames, (&z, &c), sink)?;
                }
                samples.drain(..ready);
            }
        }
        if frames == 0 {
            return Err(Error::device(
                format!("{} holds {samples_in} samples at {MODEL_RATE} Hz, less than a frame of {HOP}", id.1),
                "give a longer recording",
            ));
        }
        Ok(frames)
    }

    fn tensor(&self, samples: &[f32]) -> Result<Tensor> {
        Ok(Tensor::from_slice(samples, (1, samples.len()), self.cpc.device())?)
    }
}

fn emit(
    id: &(u32, Arc<str>),
    first: u64,
    (z, c): (&Tensor, &Tensor),
    sink: &mut dyn FnMut(&Rows) -> Result<()>,
) -> Result<u64> {
    let frames = z.dim(1)?;
    let values = (z.flatten_all()?.to_vec1()?, c.flatten_all()?.to_vec1()?);
    sink(&Rows::new(id.clone(), first, frames, values))?;
    Ok(frames as u64)
}
