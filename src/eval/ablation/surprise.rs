//! Surprise with other negatives and other horizons.

use candle_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{ComponentScore, StreamFrames};
use crate::detect;
use crate::error::Result;
use crate::eval::baselines::{ROW, smooth};
use crate::frame::Frame;
use crate::predict::DelayedScorer;

/// Frames between two candidates of a local bank: 0.5 s.
const EVERY: usize = 50;
/// Frames that a candidate waits before it is admitted: 5 s.
const QUARANTINE: usize = 500;
/// Vectors of a local bank that changes.
const LOCAL: usize = 64;
/// A candidate this near to a vector (cosine) takes its place in a diverse bank.
const NEAR: f32 = 0.95;

/// The source of the negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bank {
    /// Those of the model: latents of many recordings, for ever.
    Model,
    /// So many latents of the stream's own quiet part, for ever.
    Place(usize),
    /// The model's and the last 64 of the stream, one each 0.5 s, 5 s late.
    Fifo,
    /// The model's and 64 of all that the stream had, each as likely.
    Reservoir,
    /// The model's and 64 of the stream that are unlike one another.
    Diverse,
}

impl std::fmt::Display for Bank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model => write!(f, "of the model"),
            Self::Place(count) => write!(f, "{count} of the site"),
            Self::Fifo => write!(f, "model + latest of the site"),
            Self::Reservoir => write!(f, "model + reservoir of the site"),
            Self::Diverse => write!(f, "model + diverse of the site"),
        }
    }
}

/// −PMI, standardised for each k by the quiet part, mean over k > `skip_k`.
#[derive(Debug, Clone, Copy)]
pub struct Surprise {
    /// Horizons left out.
    pub skip_k: usize,
    /// The negatives.
    pub bank: Bank,
}

impl ComponentScore for Surprise {
    fn name(&self) -> String {
        format!("surprise, k > {}, negatives {}", self.skip_k, self.bank)
    }

    fn rows(&self, stream_frames: &StreamFrames, quiet: usize) -> Result<Vec<f64>> {
        let known = (quiet * ROW).min(stream_frames.frames.len());
        let pmi: Vec<Vec<f32>> = match self.bank {
            Bank::Model => stream_frames.frames.iter().map(|f| f.pmi.clone()).collect(),
            Bank::Place(count) => {
                let mut rng = ChaCha8Rng::seed_from_u64(1);
                let rows: Vec<&[f32]> = (0..count)
                    .filter_map(|_| {
                        stream_frames.frames.get(rng.random_range(known / 20..known)).map(|f| f.z.as_slice())
                    })
                    .collect();
                scored(stream_frames, |_| None, &rows)?
            }
            policy => local(stream_frames, policy)?,
        };
        let horizons = pmi.first().map_or(0, Vec::len);
        let flat: Vec<f32> = pmi.iter().take(known).skip(100).flatten().copied().collect();
        let normal = detect::Surprise::fit(&flat, horizons, self.skip_k);
        Ok(smooth(&pmi.iter().map(|row| normal.score(row).unwrap_or(0.0)).collect::<Vec<_>>()))
    }
}

/// PMI of all frames against `first`, until `change` gives another bank at a multiple of 0.5 s.
fn scored<'a>(
    stream_frames: &StreamFrames,
    mut change: impl FnMut(usize) -> Option<Vec<&'a [f32]>>,
    first: &[&'a [f32]],
) -> Result<Vec<Vec<f32>>> {
    let heads = stream_frames.cpc.require_heads()?;
    let scorer_of = |rows: &[&[f32]]| -> Result<DelayedScorer> {
        let width = rows.first().map_or(0, |r| r.len());
        let bank = Tensor::from_vec(rows.concat(), (rows.len(), width), stream_frames.cpc.device())?;
        Ok(DelayedScorer::new(heads.clone(), &bank)?)
    };
    let mut scorer = scorer_of(first)?;
    let mut state = scorer.zero_state(1)?;
    let mut pmi = Vec::with_capacity(stream_frames.frames.len());
    for from in (0..stream_frames.frames.len()).step_by(EVERY) {
        if let Some(rows) = change(from) {
            scorer = scorer_of(&rows)?;
        }
        let range = from..(from + EVERY).min(stream_frames.frames.len());
        let z = stream_frames.tensor(range.clone(), |f: &Frame| &f.z)?;
        let c = stream_frames.tensor(range, |f: &Frame| &f.c)?;
        pmi.extend(scorer.step(&z, &c, &mut state)?.squeeze(0)?.to_vec2::<f32>()?);
    }
    Ok(pmi)
}

/// The model's bank and a local one that changes by `policy`, whatever the stream contains: contamination shows in the
/// figures.
fn local(stream_frames: &StreamFrames, policy: Bank) -> Result<Vec<Vec<f32>>> {
    let bank =
        stream_frames.cpc.bank().map(candle_core::Tensor::to_vec2::<f32>).transpose()?.unwrap_or_default();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut own: Vec<usize> = Vec::new();
    let mut seen = 0usize;
    let frames = &stream_frames.frames;
    let shared = bank.as_slice();
    let change = |now: usize| -> Option<Vec<&[f32]>> {
        let candidate = now.checked_sub(QUARANTINE)?;
        seen += 1;
        match policy {
            _ if own.len() < LOCAL => own.push(candidate),
            Bank::Fifo => {
                own.remove(0);
                own.push(candidate);
            }
            Bank::Diverse => {
                let z = |i: usize| frames.get(i).map(|f| f.z.as_slice()).unwrap_or_default();
                let near = own.iter().position(|&i| cosine(z(i), z(candidate)) > NEAR);
                match near {
                    Some(place) => own[place] = candidate,
                    None if rng.random_range(0..seen) < LOCAL => {
                        let place = rng.random_range(0..LOCAL);
                        own[place] = candidate;
                    }
                    None => {}
                }
            }
            _ => {
                let place = rng.random_range(0..seen);
                if place < LOCAL {
                    own[place] = candidate;
                }
            }
        }
        let local = own.iter().filter_map(|&i| frames.get(i)).map(|f| f.z.as_slice());
        Some(shared.iter().map(Vec::as_slice).chain(local).collect())
    };
    let first: Vec<&[f32]> = shared.iter().map(Vec::as_slice).collect();
    scored(stream_frames, change, &first)
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-9)
}
