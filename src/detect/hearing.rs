//! The scores of a watched stream, frame by frame.

use std::collections::VecDeque;

use super::calibration::Calibration;
use super::fuse::Fused;
use super::instrument::Instrument;
use super::kind::{Clues, STANDS_OUT, TermProbabilities};
use super::rows::{ROW, RowMaker};
use super::surprise::{Smooth, median};
use crate::event::Evidence;
use crate::frame::Frame;
use crate::kernels::CriticMemory;
use crate::units::FRAME_RATE;

/// Seconds over which it is looked whether novelty stays.
const RECENT_S: usize = 60;
/// Exponent for the probability of a median: unlike scores of events, a place stays, so that 0.01 says as much of it second
/// after second as 0.001 of an event.
const STAYS: f64 = 1.5;
/// No step of the gain is less probable than this.
const STEP_P: f64 = 0.1;
/// From this p downward it is looked for the bands that stand out, and for the pitch.
pub(super) const LOOKED_AT: f64 = 0.05;

/// What the last row said.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Verdict {
    novelty: f64,
    p_novelty: f64,
    /// Of novelty beyond what it was in the last minute.
    p_standing_out: f64,
    /// Of the critic, where there is one.
    p: Option<f64>,
    /// The bands, where anything is improbable.
    bands: Option<BandFigures>,
}

/// How the bands of the last 0.25 s lie against what is normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BandFigures {
    /// The band that lies farthest above.
    pub(super) loudest: usize,
    /// How far above the loudest and below the quietest band lies, deviations, 0 or more.
    pub(super) above: f32,
    pub(super) below: f32,
    /// Share of the bands that stand out, 0 to 1.
    pub(super) share: f32,
}

/// What scores remember of a stream since its last break.
#[derive(Debug, Clone)]
pub(super) struct Hearing {
    smooth: Smooth,
    maker: RowMaker,
    critic: Option<CriticMemory>,
    verdict: Option<Verdict>,
    /// Novelty of the second that goes on, a value a row.
    second: Vec<f64>,
    /// Medians of the seconds of the last minute.
    recent: VecDeque<f64>,
    /// Probability of the last of them at the place.
    p_place: Option<f64>,
    raw: Vec<f32>,
    row: Vec<f32>,
}

/// The scores of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scores {
    pub(super) surprise: Option<f64>,
    pub(super) novelty: Option<f64>,
    pub(super) fused: Option<Fused>,
    pub(super) bands: Option<BandFigures>,
    /// The probability of each term.
    pub(super) terms: TermProbabilities,
    /// Probability of the median novelty of the last whole second: whether this is the place at all.
    pub(super) p_place: Option<f64>,
}

impl Scores {
    /// What kind of thing it may be, by these and by `activity`.
    pub(super) fn clues(&self, activity: Clues) -> Clues {
        let Some(bands) = self.bands else { return Clues { p: self.terms, ..activity } };
        let (band_above, band_below, band_share) = (bands.above, bands.below, bands.share);
        Clues { p: self.terms, band_above, band_below, band_share, ..activity }
    }
}

impl Hearing {
    /// Of a stream that begins; `surprise_frames` are averaged.
    pub(super) fn new(surprise_frames: u64) -> Self {
        Self {
            smooth: Smooth::new(surprise_frames as usize),
            maker: RowMaker::new(),
            critic: None,
            verdict: None,
            second: Vec::new(),
            recent: VecDeque::new(),
            p_place: None,
            raw: Vec::new(),
            row: Vec::new(),
        }
    }

    /// Hears the next frame, which holds sound.
    pub(super) fn push(&mut self, frame: &Frame, known: &Calibration, instrument: &Instrument) -> Scores {
        known.site.push((&frame.bands, &frame.c), &mut self.maker);
        if (frame.index + 1).is_multiple_of(ROW as u64) {
            self.maker.row(&mut self.raw);
            let p = self.ask(known, instrument);
            let p = p.map(|p| if known.site.is_gain_step(&self.raw) { p.max(STEP_P) } else { p });
            if self.maker.is_full() {
                let novelty = known.site.distance(&self.raw);
                let p_novelty = known.novelty_tail.tail_probability(novelty);
                let bands = (p.unwrap_or(p_novelty) < LOOKED_AT).then(|| self.band_figures(known)).flatten();
                let usual_of_late = self.usual_of_late(novelty, frame.index, known);
                let p_standing_out = known.novelty_tail.tail_probability(novelty / usual_of_late);
                self.verdict = Some(Verdict { novelty, p_novelty, p_standing_out, p, bands });
            }
        }
        let surprise = known.surprise.score(&frame.pmi).and_then(|s| self.smooth.push(s));
        self.scores(surprise, known)
    }

    /// The scores of a frame that holds no sound: those of the last row.
    pub(super) fn hold(&self, known: &Calibration) -> Scores {
        self.scores(None, known)
    }

    /// Median of novelty over the last minute, at least 1: after a change of gain or place it is large for good, which is no
    /// sign of a foreign sound.
    fn usual_of_late(&mut self, novelty: f64, frame: u64, known: &Calibration) -> f64 {
        self.second.push(novelty);
        if (frame + 1).is_multiple_of(u64::from(FRAME_RATE)) {
            if self.recent.len() == RECENT_S {
                self.recent.pop_front();
            }
            let middle = median(&mut self.second);
            self.second.clear();
            self.recent.push_back(middle);
            self.p_place = Some(known.place_tail.tail_probability(middle).powf(STAYS));
        }
        let mut values: Vec<f64> = self.recent.iter().copied().collect();
        if values.is_empty() { 1.0 } else { median(&mut values).max(1.0) }
    }

    fn band_figures(&mut self, known: &Calibration) -> Option<BandFigures> {
        known.site.band_excess(&self.raw, &mut self.row);
        let (loudest, &above) = self.row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        let below = -self.row.iter().copied().min_by(f32::total_cmp)?;
        let out = self.row.iter().filter(|excess| excess.abs() >= STANDS_OUT).count();
        let share = out as f32 / self.row.len() as f32;
        Some(BandFigures { loudest, above: above.max(0.0), below: below.max(0.0), share })
    }

    fn ask(&mut self, known: &Calibration, instrument: &Instrument) -> Option<f64> {
        let (critic, live) = instrument.live_critic()?;
        known.site.row(&critic.config().channels, &self.raw, &mut self.row);
        let memory = self.critic.get_or_insert_with(|| live.fresh());
        let logit = live.step(&self.row, memory);
        known.critic_probability(logit.into(), instrument.usual())
    }

    /// With a critic its probability counts, and surprise and novelty say what kind of thing it was; without one they
    /// are joined.
    fn scores(&self, surprise: Option<f64>, known: &Calibration) -> Scores {
        let p_surprise = surprise.map(|s| known.surprise_tail.tail_probability(s));
        let p_novelty = self.verdict.map(|v| v.p_novelty);
        let joined = Fused::of(p_surprise, p_novelty);
        let fused = match self.verdict.and_then(|v| v.p) {
            Some(p) => {
                let evidence = joined.map_or(Evidence::Novelty, |j| j.evidence);
                Some(Fused { p: Fused::sharpened(p, self.verdict.map(|v| v.p_standing_out)), evidence })
            }
            None => joined,
        };
        let terms = TermProbabilities {
            density: p_novelty.unwrap_or(1.0),
            short_prediction: p_surprise.unwrap_or(1.0),
            ..TermProbabilities::default()
        };
        let bands = self.verdict.and_then(|v| v.bands);
        let novelty = self.verdict.map(|v| v.novelty);
        Scores { surprise, novelty, fused, bands, terms, p_place: self.p_place }
    }
}
