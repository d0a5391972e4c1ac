//! What calibration keeps of the sound until it is fitted.

use super::activity::Activity;
use super::background_model::{BackgroundModel, GainStep, RawRows};
use super::band_predictors::BandPredictors;
use super::calibration::{CALIBRATION_VERSION, CachedId, Calibration, critic_probability, vote};
use super::config::DetectConfig;
use super::detector_model::DetectorModel;
use super::frame_scorer::FrameScorer;
use super::kept::Kept;
use super::row_layout::{RAW, WARM_UP};
use super::seconds::{maxima, medians, outlying_seconds, robust_distance};
use super::surprise::{MovingAverage, Surprise, median};
use super::tail::Tail;
use super::terms::{self, Adaptive, Baseline, Combination, KeptLines, TermState};
use crate::error::Result;
use crate::frame::{Frame, FrameShape};
use crate::units::{BANDS, FRAME_RATE, seconds_to_frames};

/// Frames of a chunk: what is kept or dropped together, 20 s.
const CHUNK: usize = 20 * FRAME_RATE as usize;
/// Most chunks that are kept; past it every second one is dropped, again and again.
const MOST_CHUNKS: usize = 60;
/// Pieces of time for cross-fitting.
const FOLDS: usize = 5;
/// Frames that calibration needs beyond the first second after each break, of which windows are not full: 9 s, of which a fifth
/// can be left out of a fit, and what lies far from the rest.
const LEAST_SETTLED: u64 = 9 * FRAME_RATE as u64;
/// Where sound breaks off so often that this is not reached, calibration ends after so many frames more than were asked for, or
/// twice as many, and says what is missing.
const MOST_MORE: u64 = 60 * FRAME_RATE as u64;
/// Frames from the end of calibration that the first watched frames build on.
const TAIL_FRAMES: usize = 600;

/// Collects usable frames; gaps between them are marked.
///
/// Memory is bounded: K floats a frame for at most an hour, bands and contexts of at most 1200 s. Those are kept in 16 bits
/// (f16: 11 significant bits of numbers that lie within ±16), lines of the spectrum in 8: 61 kB a second of sound with a context
/// of 192, and many microphones learn at the same time.
#[derive(Debug, Clone)]
pub(crate) struct CalibrationBuffer {
    shape: FrameShape,
    blocks: u64,
    /// Frames of the next provisional fit; none where there is no further one.
    provisional: Option<u64>,
    frames: u64,
    /// Index of the last frame.
    last: Option<u64>,
    /// Frames since the last break, and those that came later than a second after one.
    since: u64,
    settled: u64,
    pmi: Vec<f32>,
    levels: Vec<f64>,
    bands: Kept,
    contexts: Kept,
    lines: KeptLines,
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
            provisional: config.first_provisional().map(|seconds| seconds_to_frames(seconds) as u64),
            frames: 0,
            last: None,
            since: 0,
            settled: 0,
            pmi: Vec::new(),
            levels: Vec::new(),
            bands: Kept::new(BANDS, CHUNK),
            contexts: Kept::new(shape.context, CHUNK),
            lines: KeptLines::new(CHUNK),
            breaks: Vec::new(),
            stride: 1,
            recent: Vec::new(),
            terms: None,
            baseline: Baseline::new(),
        }
    }

    /// Adds a usable frame.
    pub(crate) fn push(&mut self, frame: &Frame) {
        if self.bands.len() >= MOST_CHUNKS * CHUNK {
            self.thin_out();
        }
        let chunk = self.frames as usize / CHUNK;
        let follows = self.last.is_some_and(|last| frame.index == last + 1);
        self.since = if follows { self.since + 1 } else { 1 };
        self.settled += u64::from(self.since > WARM_UP as u64);
        self.lines.push(&frame.samples, follows);
        if chunk.is_multiple_of(self.stride) {
            let at = self.bands.len();
            let first_of_chunk = (self.frames as usize).is_multiple_of(CHUNK) && self.stride > 1;
            if !follows || first_of_chunk {
                self.breaks.push(at);
            }
            self.bands.push(&frame.bands);
            self.contexts.push(&frame.c);
            self.lines.keep(self.bands.len());
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

    /// Whether it holds no frame yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Share of the wanted seconds that was received, 0 to 1.
    pub(crate) fn done(&self) -> f32 {
        let missing =
            self.wanted().saturating_sub(self.frames).max(LEAST_SETTLED.saturating_sub(self.settled));
        self.frames as f32 / (self.frames + missing).max(1) as f32
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full_in(0)
    }

    /// Whether `frames` more may be enough.
    pub(crate) fn is_full_in(&self, frames: usize) -> bool {
        let (more, wanted) = (frames as u64, self.wanted());
        let most = wanted + wanted.max(MOST_MORE);
        self.frames + more >= wanted && (self.settled + more >= LEAST_SETTLED || self.frames + more >= most)
    }

    /// Whether a fit, provisional or not, may be due `frames` from now.
    pub(crate) fn is_due_in(&self, frames: usize) -> bool {
        let more = frames as u64;
        let enough = self.settled + more >= LEAST_SETTLED;
        let due = self.provisional.is_some_and(|at| enough && self.frames + more >= at);
        due || self.is_full_in(frames)
    }

    /// A fit of what is held now, to go on from; the next is due when there is twice as much.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub(crate) fn fit_provisionally(
        &mut self,
        config: &DetectConfig,
        detector_model: &DetectorModel,
    ) -> Result<(FrameScorer, Calibration)> {
        let doubled = 2 * self.frames;
        let seconds = doubled as f64 / f64::from(FRAME_RATE);
        self.provisional = config.is_worth_while(seconds).then_some(doubled);
        let mut held = self.clone();
        let known = held.fit(config, detector_model)?;
        Ok((held.scorer(&known, detector_model), known))
    }

    fn wanted(&self) -> u64 {
        self.blocks * u64::from(FRAME_RATE)
    }

    /// Learns what is normal. Takes about a second for 5 minutes.
    ///
    /// Contamination: seconds that lie far from the rest are no part of the fit. Scores of calibration are those under a
    /// fit that has not seen their fifth of the time: under their own fit they would be smaller than those of new sound,
    /// and the tail would promise too much.
    pub(crate) fn fit(
        &mut self,
        config: &DetectConfig,
        detector_model: &DetectorModel,
    ) -> Result<Calibration> {
        let horizons = self.shape.horizons;
        let surprise = Surprise::fit(&self.pmi, horizons, config.skip_k);
        let block_frames = FRAME_RATE as usize * horizons;
        let mut smooth = MovingAverage::new(config.surprise_frames() as usize);
        let surprise_maxima = self.pmi.chunks(block_frames).filter_map(|block| {
            let frames = block.chunks(horizons).filter_map(|pmi| surprise.score(pmi));
            frames.filter_map(|s| smooth.push(s)).max_by(f64::total_cmp)
        });
        let surprise_tail = Tail::fit(surprise_maxima.collect())?.exponential();
        self.pmi = Vec::new();
        let activity = Activity::fit(&self.levels, &self.bands, &self.breaks);
        let (site, rows, outlying) = self.fit_site()?;
        let fine = |row: usize| outlying.binary_search(&(rows.frame(row) / FRAME_RATE as usize)).is_err();

        let (mut distances, mut logits, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        let live = detector_model.live_critic();
        let mut memory = live.map(|(_, live)| live.fresh());
        let (mut raw, mut row) = (Vec::new(), Vec::new());
        for fold in 0..FOLDS {
            let inside = |i: usize| i * FOLDS / rows.len().max(1) == fold;
            let unaware = BackgroundModel::of(site.predictors().clone(), &rows, &|i| !inside(i) && fine(i))?;
            for i in (0..rows.len()).filter(|&i| inside(i)) {
                rows.read(i, 0..RAW, &mut raw);
                distances.push((rows.frame(i) / FRAME_RATE as usize, unaware.distance(&raw)));
                if let (Some((critic, live)), Some(memory)) = (live, &mut memory) {
                    unaware.row(&critic.config().channels, &raw, &mut row);
                    logits.push((rows.frame(i), f64::from(live.step(&row, memory))));
                    steps.push(unaware.gain_step(&raw, &[]) == GainStep::Certain);
                }
            }
        }
        drop(rows);
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
        let fitted = terms::fit(&self.bands, &self.lines, &self.breaks, &is_fine)?;
        // tails of terms are those of normal seconds: a few events would stretch them until nothing is improbable
        let usual = fitted.rows.iter().filter(|row| is_fine(row.0)).map(|row| &row.1);
        let mut combination = Combination::fit(&usual, fitted.model.predictability())?;
        let mut votes = logits.iter().zip(&steps).map(|(&(frame, logit), &step)| {
            let p = critic_tail
                .as_ref()
                .map_or(1.0, |tail| critic_probability(tail, logit, detector_model.usual()));
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
        let (baseline, score_maxima) = terms::relative(&scores, &mut combination);
        let score_tail = Tail::fit(score_maxima)?.exponential();
        self.baseline = baseline;
        self.terms = Some(fitted.state);
        Ok(Calibration {
            version: CALIBRATION_VERSION,
            model: detector_model.model.clone(),
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
            cached_id: CachedId::default(),
        })
    }

    /// The site, its rows, and the seconds that lie far from the rest. Contexts are given back: they are needed no more.
    fn fit_site(&mut self) -> Result<(BackgroundModel, RawRows, Vec<usize>)> {
        let width = self.shape.context;
        let context = |at: usize, out: &mut [f32]| self.contexts.read(at, 0..width, out);
        let predictors = BandPredictors::fit(&self.bands, &context, width, &self.breaks)?;
        let contexts = &mut self.contexts;
        let context = |at: usize, out: &mut [f32]| {
            contexts.forget_before(at);
            contexts.read(at, 0..width, out);
        };
        let rows = RawRows::of(&predictors, &self.bands, context, width, &self.breaks);
        self.contexts = Kept::new(width, CHUNK);
        let fine = |outlying: &[usize], row: usize| {
            outlying.binary_search(&(rows.frame(row) / FRAME_RATE as usize)).is_err()
        };
        // first by each coordinate alone: events of one kind widen a covariance in their own direction, and a fit to
        // everything would not see them as far (FAST-MCD, Rousseeuw and Van Driessen 1999)
        let outlying = outlying_seconds(&robust_distance(&rows), &rows);
        let first = BackgroundModel::of(predictors.clone(), &rows, &|row| fine(&outlying, row))?;
        let distance = |row: usize| {
            let mut raw = Vec::new();
            rows.read(row, 0..RAW, &mut raw);
            first.distance(&raw)
        };
        let outlying = outlying_seconds(&distance, &rows);
        let site = BackgroundModel::of(predictors, &rows, &|row| fine(&outlying, row))?;
        Ok((site, rows, outlying))
    }

    /// What a watched stream remembers after the frames that were collected last.
    pub(crate) fn scorer(&self, known: &Calibration, detector_model: &DetectorModel) -> FrameScorer {
        let mut scorer = FrameScorer::new(known.surprise_frames);
        let mut adaptive = Adaptive::new(&known.terms);
        let mut last = None;
        for frame in &self.recent {
            if last.is_some_and(|last: u64| frame.index != last + 1) {
                scorer = FrameScorer::new(known.surprise_frames);
            }
            last = Some(frame.index);
            scorer.push(frame, known, &mut adaptive, detector_model);
        }
        // the windows of minutes reach farther back than the frames that were kept
        if let Some(terms) = self.terms.as_ref().filter(|_| self.stride == 1) {
            scorer.set_terms(terms.clone(), self.baseline.clone());
        }
        scorer
    }

    fn thin_out(&mut self) {
        self.stride *= 2;
        let chunks = self.bands.len() / CHUNK;
        let kept = chunks.div_ceil(2);
        self.bands.thin_out();
        self.contexts.thin_out();
        self.lines.thin_out();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_in_short_pieces_is_collected_until_windows_were_full_for_long_enough() {
        let shape = FrameShape { horizons: 1, latent: 1, context: 1 };
        let config = DetectConfig { calibrate_seconds: 10.0, ..Default::default() };
        let frame = |index| Frame {
            index,
            pmi: vec![0.0],
            c: vec![0.0],
            bands: vec![0.0; BANDS],
            ..Frame::default()
        };
        // frames of a piece, and how many are needed in all
        for (piece, needed) in [(10_000, 1000), (200, 1800), (150, 2700), (100, 7000), (50, 7000)] {
            let mut collector = CalibrationBuffer::new(&config, shape);
            let mut count = 0u64;
            while !collector.is_full() {
                assert!(count < needed, "{piece}: {count}");
                assert!(
                    collector.done() < 1.0 && collector.is_full_in((needed - count) as usize),
                    "{piece}: {count}"
                );
                // a second is missing between two pieces
                collector.push(&frame(count + count / piece * 100));
                count += 1;
            }
            assert_eq!(count, needed, "{piece}");
        }
    }

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
                c: vec![chunk],
                bands: vec![chunk; BANDS],
                ..Frame::default()
            });
            assert!(collector.bands.len() <= MOST_CHUNKS * CHUNK);
            assert_eq!(collector.lines.len(), collector.bands.len() / crate::detect::row_layout::ROW, "{i}");
        }
        assert!(collector.is_full());
        assert_eq!(collector.stride, 4);
        let (mut context, mut bands) = ([0.0], [0.0; BANDS]);
        for i in 0..collector.contexts.len() {
            collector.contexts.read(i, 0..1, &mut context);
            collector.bands.read(i, 0..BANDS, &mut bands);
            assert_eq!((context[0], bands), ((i / CHUNK * 4) as f32, [context[0]; BANDS]), "{i}");
        }
        let starts: Vec<usize> = (0..collector.contexts.len()).step_by(CHUNK).collect();
        assert_eq!(collector.breaks, starts);
    }
}
