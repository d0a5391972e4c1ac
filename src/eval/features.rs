//! Frozen features of clips, the rows of the probe table.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::frame_pooling::pool;
use super::mfcc::{BANDS, COEFFICIENTS, mfcc};
use crate::corpus::Clip;
use crate::encode::Padding;
use crate::error::{Error, Result};
use crate::model::{Architecture, BANK, Cpc, bank_of};
use crate::nn::{LogMel, StreamingModule, Tensors};
use crate::units::HOP;

/// Frames of a batch.
const BATCH_FRAMES: usize = 4000;

/// A source of features; it gives one row or several.
#[derive(Debug, Clone)]
pub enum Features {
    /// z and c of a model.
    Cpc {
        /// Name of its rows.
        name: String,
        /// The model.
        cpc: Arc<Cpc>,
    },
    /// z and c of an untrained model, another one for each seed.
    RandomInit {
        /// Name of its rows.
        name: String,
        /// Its shape.
        architecture: Architecture,
    },
    /// MFCC with Δ and ΔΔ, and log-mel energies.
    Spectral,
}

/// Values, frame after frame, and width of each kind of feature of a source.
pub type Kinds = Vec<(Vec<f32>, usize)>;

type FramesOf = dyn Fn(&Tensor) -> Result<Vec<Tensor>>;

impl Features {
    /// The rows that it gives.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        match self {
            Self::Cpc { name, .. } | Self::RandomInit { name, .. } => {
                vec![format!("{name} z"), format!("{name} c")]
            }
            Self::Spectral => {
                vec![format!("MFCC-{COEFFICIENTS} + Δ + ΔΔ"), format!("log-mel ({BANDS} bands)")]
            }
        }
    }

    /// The rows that labels compare by: z, c and bands together for a model, else each kind by itself.
    #[must_use]
    pub fn label_rows(&self) -> Vec<String> {
        match self {
            Self::Cpc { name, .. } | Self::RandomInit { name, .. } => vec![format!("{name} z, c, bands")],
            Self::Spectral => self.rows(),
        }
    }

    /// A function from samples to the values and the width of each kind of feature, frame after frame; of a model z, c and bands.
    ///
    /// # Errors
    /// When the model cannot be made.
    pub fn frames_of(&self, seed: u64) -> Result<impl Fn(&[f32]) -> Result<Kinds> + use<>> {
        let frames_of = self.ready(seed)?;
        let bands = match self {
            Self::Spectral => None,
            _ => Some(LogMel::new(BANDS, &Device::Cpu)?),
        };
        Ok(move |samples: &[f32]| {
            let samples = Tensor::from_slice(samples, (1, samples.len()), &Device::Cpu)?;
            let mut kinds = frames_of(&samples)?;
            if let Some(bands) = &bands {
                kinds.push(bands.forward(&samples)?);
            }
            kinds.iter().map(|kind| Ok((kind.flatten_all()?.to_vec1::<f32>()?, kind.dim(2)?))).collect()
        })
    }

    /// Whether the seed changes them.
    #[must_use]
    pub fn depend_on_seed(&self) -> bool {
        matches!(self, Self::RandomInit { .. })
    }

    /// Mean and standard deviation over the frames with sound, `[clips, 2 · width]`, for each row. `progress` is
    /// called with the frames done.
    ///
    /// # Errors
    /// When the model fails.
    pub fn pooled(
        &self,
        clips: &[Clip],
        seed: u64,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Array2<f64>>> {
        let frames_of = self.ready(seed)?;
        let mut rows = vec![vec![Vec::new(); clips.len()]; self.rows().len()];
        let mut done = 0;
        for batch in batches(clips) {
            let members: Vec<&Clip> = batch.iter().filter_map(|&i| clips.get(i)).collect();
            let frames = members.first().map_or(0, |clip| clip.frames());
            let samples: Vec<f32> = members.iter().flat_map(|clip| clip.samples()).collect();
            let samples = Tensor::from_vec(samples, (members.len(), frames * HOP), &Device::Cpu)?;
            for (row, features) in rows.iter_mut().zip(frames_of(&samples)?) {
                let width = features.dim(2)?;
                let values = features.flatten_all()?.to_vec1::<f32>()?;
                for ((&i, clip), of_clip) in batch.iter().zip(&members).zip(values.chunks(frames * width)) {
                    if let Some(place) = row.get_mut(i) {
                        *place = pool(of_clip, width, &clip.has_sound());
                    }
                }
            }
            done += frames * members.len();
            progress(done);
        }
        rows.iter().map(|row| matrix(row)).collect()
    }

    /// A function from `[batch, samples]` to `[batch, frames, width]` for each row.
    fn ready(&self, seed: u64) -> Result<Box<FramesOf>> {
        let cpc = match self {
            Self::Cpc { cpc, .. } => Arc::clone(cpc),
            Self::RandomInit { architecture, .. } => Arc::new(untrained(architecture, seed)?),
            Self::Spectral => {
                let log_mel = LogMel::new(BANDS, &Device::Cpu)?;
                return Ok(Box::new(move |samples| {
                    let bands = log_mel.forward(samples)?;
                    Ok(vec![cepstra(&bands)?, bands])
                }));
            }
        };
        Ok(Box::new(move |samples| {
            let (z, c) = cpc.features(&samples.to_device(cpc.device())?, Padding::Causal)?;
            Ok(vec![z, c])
        }))
    }
}

/// [`mfcc`] of a batch, `[batch, frames, 39]`.
fn cepstra(bands: &Tensor) -> Result<Tensor> {
    let (batch, frames, width) = bands.dims3()?;
    let values = bands.flatten_all()?.to_vec1::<f32>()?;
    let all: Vec<f32> = values.chunks(frames * width).flat_map(|clip| mfcc(clip, width)).collect();
    Ok(Tensor::from_vec(all, (batch, frames, 3 * COEFFICIENTS), &Device::Cpu)?)
}

/// A model of this shape as training starts with it.
///
/// # Errors
/// When the device cannot hold it.
pub fn untrained(architecture: &Architecture, seed: u64) -> Result<Cpc> {
    let architecture = &without_critic(architecture);
    Ok(Cpc::load(&initial(architecture, seed)?, architecture)?)
}

/// The same with negatives out of `windows`, so that it can score.
///
/// # Errors
/// When there are too few windows, or the device cannot hold it.
pub fn untrained_with_bank(
    architecture: &Architecture,
    seed: u64,
    windows: impl Iterator<Item = Vec<f32>>,
) -> Result<Cpc> {
    let architecture = &without_critic(architecture);
    let mut tensors = initial(architecture, seed)?;
    let bank = bank_of(&Cpc::load(&tensors, architecture)?, windows, seed)?;
    tensors.insert(BANK.to_owned(), bank);
    Ok(Cpc::load(&tensors, architecture)?)
}

fn without_critic(architecture: &Architecture) -> Architecture {
    Architecture { critic: None, ..architecture.clone() }
}

fn initial(architecture: &Architecture, seed: u64) -> Result<Tensors> {
    let vars = Cpc::init(&mut ChaCha8Rng::seed_from_u64(seed), architecture, &Device::Cpu)?;
    Ok(vars.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect())
}

/// Clips of equal length together, at most [`BATCH_FRAMES`] or one clip.
fn batches(clips: &[Clip]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..clips.len()).collect();
    let frames = |&i: &usize| clips.get(i).map_or(0, Clip::frames);
    order.sort_by_key(frames);
    let equal = order.chunk_by(|a, b| frames(a) == frames(b));
    equal
        .flat_map(|group| group.chunks((BATCH_FRAMES / group.first().map_or(1, frames).max(1)).max(1)))
        .map(<[usize]>::to_vec)
        .collect()
}

fn matrix(rows: &[Vec<f64>]) -> Result<Array2<f64>> {
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_vec((rows.len(), width), rows.concat())
        .map_err(|e| Error::internal(format!("features of unequal width: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::ClipRow;
    use ndarray::Axis;

    fn clip(frames: usize, hz: f32) -> Clip {
        let tone = |n: usize| 0.3 * (std::f32::consts::TAU * hz * n as f32 / 16_000.0).sin();
        let samples: Vec<f32> = (0..frames * HOP).map(tone).collect();
        Clip::new(ClipRow::default(), &samples).unwrap()
    }

    #[test]
    fn a_clip_has_the_same_features_in_any_company() {
        let features = Features::RandomInit { name: "random".into(), architecture: Architecture::edge() };
        let clips = [clip(30, 200.0), clip(20, 900.0), clip(30, 1500.0)];
        let together = features.pooled(&clips, 5, &mut |_| ()).unwrap();
        for (i, one) in clips.iter().enumerate() {
            let alone = features.pooled(std::slice::from_ref(one), 5, &mut |_| ()).unwrap();
            for (together, alone) in together.iter().zip(&alone) {
                let difference = &together.index_axis(Axis(0), i) - &alone.index_axis(Axis(0), 0);
                assert!(difference.iter().all(|d| d.abs() < 1e-5));
            }
        }
        let other = features.pooled(&clips, 6, &mut |_| ()).unwrap();
        assert!(other[0] != together[0], "another seed, another model");
    }

    #[test]
    fn batches_hold_every_clip_once_and_equal_lengths_together() {
        let clips: Vec<Clip> = [5, 3, 5, 4100, 3].map(|frames| clip(frames, 100.0)).to_vec();
        let mut all = Vec::new();
        for batch in batches(&clips) {
            assert!(batch.iter().all(|&i| clips[i].frames() == clips[batch[0]].frames()));
            all.extend(batch);
        }
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}
