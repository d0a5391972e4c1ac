//! What calibration keeps of the sound until it is fitted.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::activity::Activity;
use super::background_model::{BackgroundModel, GainStep, RawRow, raw_rows};
use super::band_predictors::BandPredictors;
use super::calibration::{CALIBRATION_VERSION, Calibration, critic_probability, vote};
use super::config::DetectConfig;
use super::detector_model::DetectorModel;
use super::feature_rows::ROW;
use super::frame_scorer::FrameScorer;
use super::seconds::{maxima, medians, outlying_seconds, robust_distance, second};
use super::surprise::{MovingAverage, Surprise, median};
use super::tail::Tail;
use super::terms::{self, Baseline, Combination, TermState};
use crate::error::Result;
use crate::frame::{Frame, FrameShape};
use crate::units::{BANDS, FRAME_RATE};

/// Frames of a chunk: what is kept or dropped together, 20 s.
const CHUNK: usize = 20 * FRAME_RATE as usize;
/// Most chunks that are kept; past it every second one is dropped, again and again.
const MOST_CHUNKS: usize = 60;
/// Pieces of time for cross-fitting.
const FOLDS: usize = 5;
/// Frames from the end of calibration that the first watched frames build on.
const TAIL_FRAMES: usize = 600;

/// Collects usable frames; gaps between them are marked.
///
/// Memory is bounded: K floats a frame for at most an hour, bands and contexts of at most 1200 s. Those are kept in 16 bits
/// (f16: 11 significant bits of numbers that lie within ±16): 51 kB a second of sound with a context of 192, and many
/// microphones learn at the same time.
#[derive(Debug, Clone)]
pub(crate) struct CalibrationBuffer {
    shape: FrameShape,
    blocks: u64,
    frames: u64,
    /// Index of the last frame.
    last: Option<u64>,
    pmi: Vec<f32>,
    levels: Vec<f64>,
    bands: Vec<f16>,
    contexts: Vec<f16>,
    /// Numbers of the kept frames before which something is missing.
    breaks: Vec<usize>,
    /// Every so many chunks are kept.
    stride: usize,
    recent: Vec<Frame>,
    /// What terms remember after the last frame, once fitted.
    terms: Option<TermState>,
    /// The level of the score over its last seconds.
    baseline: Baseline,
}

impl CalibrationBuffer {
    pub(crate) fn new(config: &DetectConfig, shape: FrameShape) -> Self {
        Self {
            shape,
            blocks: config.calibrate_seconds.ceil() as u64,
            frames: 0,
            last: None,
            pmi: Vec::new(),
            levels: Vec::new(),
            bands: Vec::new(),
            contexts: Vec::new(),
            breaks: Vec::new(),
            stride: 1,
            recent: Vec::new(),
            terms: None,
            baseline: Baseline::new(),
        }
    }

    /// Adds a usable frame.
    pub(crate) fn push(&mut self, frame: &Frame) {
        if self.bands.len() / BANDS >= MOST_CHUNKS * CHUNK {
            self.thin_out();
        }
        let chunk = self.frames as usize / CHUNK;
        if chunk.is_multiple_of(self.stride) {
            let at = self.bands.len() / BANDS;
            let follows = self.last.is_some_and(|last| frame.index == last + 1);
            let first_of_chunk = (self.frames as usize).is_multiple_of(CHUNK) && self.stride > 1;
            if !follows || first_of_chunk {
                self.breaks.push(at);
            }
            self.bands.extend(frame.bands.iter().map(kept));
            self.contexts.extend(frame.c.iter().map(kept));
        }
        self.frames += 1;
        self.last = Some(frame.index);
        self.pmi.extend_from_slice(&frame.pmi);
        self.levels.push(f64::from(frame.level_dbfs));
        if self.recent.len() == TAIL_FRAMES {
            self.recent.drain(..TAIL_FRAMES / 2);
        }
        self.recent.push(frame.clone());
    }

    /// Share of the wanted seconds that was received, 0 to 1.
    pub(crate) fn done(&self) -> f32 {
        self.frames as f32 / (self.blocks * u64::from(FRAME_RATE)) as f32
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames >= self.blocks * u64::from(FRAME_RATE)
    }

    /// Whether `frames` more are enough.
    pub(crate) fn is_full_in(&self, frames: usize) -> bool {
        self.frames + frames as u64 >= self.blocks * u64::from(FRAME_RATE)
    }

    /// Learns what is normal. Takes about a second for 5 minutes.
    ///
    /// Contamination: seconds that lie far from the rest are no part of the fit. Scores of calibration are those under a
    /// fit that has not seen their fifth of the time: under their own fit they would be smaller than those of new sound,
    /// and the tail would promise too much.
    pub(crate) fn fit(&mut self, config: &DetectConfig, instrument: &DetectorModel) -> Result<Calibration> {
        let FrameShape { horizons, context, .. } = self.shape;
        let surprise = Surprise::fit(&self.pmi, horizons, config.skip_k);
        let block_frames = FRAME_RATE as usize * horizons;
        let mut smooth = MovingAverage::new(config.surprise_frames() as usize);
        let surprise_maxima = self.pmi.chunks(block_frames).filter_map(|block| {
            let frames = block.chunks(horizons).filter_map(|pmi| surprise.score(pmi));
            frames.filter_map(|s| smooth.push(s)).max_by(f64::total_cmp)
        });
        let surprise_tail = Tail::fit(surprise_maxima.collect())?.exponential();

        let (bands, contexts) = (self.bands.to_f32_vec(), self.contexts.to_f32_vec());
        let activity = Activity::fit(&self.levels, &bands, &self.breaks);
        let predictors = BandPredictors::fit(&bands, &contexts, context, &self.breaks)?;
        let rows = raw_rows(&predictors, &bands, &contexts, context, &self.breaks);
        drop(contexts);
        let usable: Vec<&RawRow> = rows.iter().filter(|r| r.settled).collect();
        // first by each coordinate alone: events of one kind widen a covariance in their own direction, and a fit to
        // everything would not see them as far (FAST-MCD, Rousseeuw and Van Driessen 1999)
        let apart = robust_distance(&usable);
        let outlying = outlying_seconds(&apart, &usable);
        let fine = |r: &RawRow| !outlying.contains(&second(r));
        let first =
            BackgroundModel::of(predictors.clone(), &values(usable.iter().copied().filter(|r| fine(r))))?;
        let outlying = outlying_seconds(&|row: &RawRow| first.distance(&row.values), &usable);
        let fine = |r: &RawRow| !outlying.contains(&second(r));
        let site =
            BackgroundModel::of(predictors.clone(), &values(usable.iter().copied().filter(|r| fine(r))))?;

        let (mut distances, mut logits, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        let live = instrument.live_critic();
        let mut memory = live.map(|(_, live)| live.fresh());
        let mut row = Vec::new();
        for fold in 0..FOLDS {
            let inside = |i: usize| i * FOLDS / usable.len().max(1) == fold;
            let others = usable.iter().enumerate().filter(|(i, r)| !inside(*i) && fine(r)).map(|(_, r)| *r);
            let unaware = BackgroundModel::of(predictors.clone(), &values(others))?;
            for (_, raw) in usable.iter().enumerate().filter(|(i, _)| inside(*i)) {
                distances.push((second(raw), unaware.distance(&raw.values)));
                if let (Some((critic, live)), Some(memory)) = (live, &mut memory) {
                    unaware.row(&critic.config().channels, &raw.values, &mut row);
                    logits.push((raw.frame, f64::from(live.step(&row, memory))));
                    steps.push(unaware.gain_step(&raw.values, &[]) == GainStep::Certain);
                }
            }
        }
        let novelty_tail = Tail::fit(maxima(distances.iter().copied()))?;
        let place_tail = Tail::fit(medians(&distances))?;
        let critic_tail = match live {
            Some(_) => {
                let of = logits.iter().map(|&(frame, logit)| (frame / FRAME_RATE as usize, logit));
                Some(Tail::fit(maxima(of))?)
            }
            None => None,
        };
        let is_fine = |frame: usize| outlying.binary_search(&(frame / FRAME_RATE as usize)).is_err();
        let fitted = terms::fit(&bands, &self.breaks, &is_fine)?;
        // tails of terms are those of normal seconds: a few events would stretch them until nothing is improbable
        let usual = fitted.rows.iter().filter(|row| is_fine(row.0)).map(|row| &row.1);
        let mut combination = Combination::fit(&usual, fitted.model.predictability())?;
        let mut votes = logits.iter().zip(&steps).map(|(&(frame, logit), &step)| {
            let p =
                critic_tail.as_ref().map_or(1.0, |tail| critic_probability(tail, logit, instrument.usual()));
            (frame, vote(p, step))
        });
        let mut vote_of =
            |frame: usize| votes.by_ref().find(|v| v.0 >= frame).filter(|v| v.0 == frame).map(|v| v.1);
        let scores: Vec<(usize, f64)> = fitted
            .rows
            .iter()
            .filter_map(|(frame, values)| {
                let critic = vote_of(*frame);
                Some((*frame, combination.score(&combination.surprisals(values), critic)?))
            })
            .collect();
        let (baseline, score_maxima) = relative(&scores, &mut combination);
        let score_tail = Tail::fit(score_maxima)?.exponential();
        self.baseline = baseline;
        self.terms = Some(fitted.state);
        Ok(Calibration {
            version: CALIBRATION_VERSION,
            model: instrument.model.clone(),
            shape: self.shape,
            surprise_frames: config.surprise_frames(),
            seconds: self.frames as f64 / f64::from(FRAME_RATE),
            background_dbfs: median(&mut self.levels) as f32,
            surprise,
            surprise_tail,
            site,
            novelty_tail,
            place_tail,
            critic_tail,
            activity,
            terms: fitted.model,
            combination,
            score_tail,
        })
    }

    /// What a watched stream remembers after the frames that were collected last.
    pub(crate) fn hearing(&self, known: &Calibration, instrument: &DetectorModel) -> FrameScorer {
        let mut hearing = FrameScorer::new(known.surprise_frames);
        let mut adaptive = known.terms.adaptive();
        let mut last = None;
        for frame in &self.recent {
            if last.is_some_and(|last: u64| frame.index != last + 1) {
                hearing = FrameScorer::new(known.surprise_frames);
            }
            last = Some(frame.index);
            hearing.push(frame, known, &mut adaptive, instrument);
        }
        // the windows of minutes reach farther back than the frames that were kept
        if let Some(terms) = self.terms.as_ref().filter(|_| self.stride == 1) {
            hearing.set_terms(terms.clone(), self.baseline.clone());
        }
        hearing
    }

    fn thin_out(&mut self) {
        self.stride *= 2;
        let width = self.shape.context;
        let mut kept = 0;
        let chunks = self.bands.len() / BANDS / CHUNK;
        for chunk in (0..chunks).step_by(2) {
            let (from, to) = (chunk * CHUNK, kept * CHUNK);
            self.bands.copy_within(from * BANDS..(from + CHUNK) * BANDS, to * BANDS);
            self.contexts.copy_within(from * width..(from + CHUNK) * width, to * width);
            kept += 1;
        }
        self.bands.truncate(kept * CHUNK * BANDS);
        self.contexts.truncate(kept * CHUNK * width);
        // breaks within chunks that moved
        let moved = |&at: &usize| {
            let chunk = at / CHUNK;
            (chunk < chunks && chunk.is_multiple_of(2)).then(|| chunk / 2 * CHUNK + at % CHUNK)
        };
        let mut breaks: Vec<usize> = self.breaks.iter().filter_map(moved).collect();
        breaks.extend((0..kept).map(|chunk| chunk * CHUNK));
        breaks.sort_unstable();
        breaks.dedup();
        self.breaks = breaks;
    }
}

/// A number as it is kept.
fn kept(x: &f32) -> f16 {
    f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

fn values<'a>(rows: impl Iterator<Item = &'a RawRow>) -> Vec<&'a [f32]> {
    rows.map(|r| r.values.as_slice()).collect()
}

/// The maxima of each second of scores (frame and score of each row), relative to what they were of late; notes the usual level.
fn relative(scores: &[(usize, f64)], combination: &mut Combination) -> (Baseline, Vec<f64>) {
    let broken = |at: usize| at > 0 && scores[at].0 - scores[at - 1].0 != ROW;
    let mut levels = Vec::new();
    let pass = |usual: f64, levels: &mut Vec<f64>| {
        let mut baseline = Baseline::new();
        let relative = scores.iter().enumerate().map(|(at, &(frame, score))| {
            if broken(at) {
                baseline = Baseline::new();
            }
            let relative = baseline.push(score, usual);
            levels.extend(baseline.level());
            (frame / FRAME_RATE as usize, relative)
        });
        let maxima = maxima(relative.collect::<Vec<_>>().into_iter());
        (baseline, maxima)
    };
    pass(0.0, &mut levels);
    combination.set_usual_level(median(&mut levels));
    pass(combination.usual_level(), &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_keeps_whole_chunks_and_bounded_memory() {
        let shape = FrameShape { horizons: 3, latent: 1, context: 1 };
        let config = DetectConfig { calibrate_seconds: 3600.0, ..Default::default() };
        let mut collector = CalibrationBuffer::new(&config, shape);
        for i in 0..360_000u64 {
            assert!(!collector.is_full());
            let chunk = (i / CHUNK as u64) as f32;
            collector.push(&Frame {
                index: i,
                pmi: vec![0.0; 3],
                z: vec![0.0],
                c: vec![chunk],
                bands: vec![chunk; BANDS],
                level_dbfs: -40.0,
            });
            assert!(collector.bands.len() <= MOST_CHUNKS * CHUNK * BANDS);
        }
        assert!(collector.is_full());
        assert_eq!(collector.stride, 4);
        for (i, (&c, bands)) in collector.contexts.iter().zip(collector.bands.chunks_exact(BANDS)).enumerate()
        {
            assert_eq!(c.to_f32(), (i / CHUNK * 4) as f32, "{i}");
            assert!(bands.iter().all(|&b| b == c));
        }
        let starts: Vec<usize> = (0..collector.contexts.len()).step_by(CHUNK).collect();
        assert_eq!(collector.breaks, starts);
    }
}
