//! The scores of a watched stream, frame by frame.

use super::background_model::GainStep;
use super::calibration::{Calibration, STEP_P, vote};
use super::combined_p_value::CombinedPValue;
use super::detector_model::DetectorModel;
use super::feature_rows::FeatureExtractor;
use super::kind::{EventFeatures, STANDS_OUT, TermProbabilities};
use super::row_layout::{BRIEF, ROW};
use super::surprise::{MovingAverage, median};
use super::tail::P_FLOOR;
use super::terms::{Adaptive, BandMoments, Baseline, FineStructure, Term, TermGroup, TermState, Values};
use crate::detect::exact::{Exact, exact};
use crate::event::Evidence;
use crate::frame::Frame;
use crate::kernels::CriticMemory;
use crate::units::FRAME_RATE;

/// Exponent for the probability of a median: unlike scores of events, a site stays, so that 0.01 says as much of it second
/// after second as 0.001 of an event.
const STAYS: f64 = 1.5;
/// Rows after which a step of the gain is believed.
const STEP_ROWS: u32 = 4;
/// From this p downward it is looked for the bands that stand out, and for the pitch.
pub(super) const LOOKED_AT: f64 = 0.05;

/// What the last row said.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RowScores {
    novelty: f64,
    p_novelty: f64,
    /// Of all terms together; none where a window is not full.
    p: Option<f64>,
    /// −log10 of the probability of each term.
    surprisals: Values,
    /// The bands, where anything is improbable.
    bands: Option<BandFigures>,
}

exact!(RowScores { novelty, p_novelty, p, surprisals, bands });

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

exact!(BandFigures { loudest, above, below, share });

/// What scores remember of a stream since its last break.
#[derive(Debug, Clone)]
pub(super) struct FrameScorer {
    smooth: MovingAverage,
    extractor: FeatureExtractor,
    terms: TermState,
    fine_structure: FineStructure,
    /// The level of the combined score over the last seconds.
    baseline: Baseline,
    /// Rows in a row that look like a step of the gain.
    step_rows: u32,
    critic: Option<CriticMemory>,
    row_scores: Option<RowScores>,
    /// Novelty of the second that goes on, a value a row.
    second: Vec<f64>,
    /// Probability of the median of the last whole second at the site.
    p_place: Option<f64>,
    raw: Vec<f32>,
    row: Vec<f32>,
}

impl Exact for CriticMemory {
    fn write(&self, out: &mut Vec<u8>) {
        let [first, hidden] = self.parts();
        (first.to_vec(), hidden.to_vec()).write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let (first, hidden) = Exact::read(from)?;
        Some(Self::from_parts(first, hidden))
    }
}

exact!(FrameScorer {
    smooth,
    extractor,
    terms,
    fine_structure,
    baseline,
    step_rows,
    critic,
    row_scores,
    second,
    p_place,
    raw,
    row
});

/// The scores of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scores {
    pub(super) surprise: Option<f64>,
    pub(super) novelty: Option<f64>,
    pub(super) combined: Option<CombinedPValue>,
    pub(super) bands: Option<BandFigures>,
    /// The probability of each term.
    pub(super) terms: TermProbabilities,
    /// Probability of the median novelty of the last whole second: whether this is the site at all.
    pub(super) p_place: Option<f64>,
}

impl Scores {
    /// What kind of thing it may be, by these and by `activity`.
    pub(super) fn clues(&self, activity: EventFeatures) -> EventFeatures {
        let Some(bands) = self.bands else { return EventFeatures { p: self.terms, ..activity } };
        let (band_above, band_below, band_share) = (bands.above, bands.below, bands.share);
        EventFeatures { p: self.terms, band_above, band_below, band_share, ..activity }
    }
}

impl FrameScorer {
    /// Of a stream that begins; `surprise_frames` are averaged.
    pub(super) fn new(surprise_frames: u64) -> Self {
        Self {
            smooth: MovingAverage::new(surprise_frames as usize),
            extractor: FeatureExtractor::new(),
            terms: TermState::new(),
            fine_structure: FineStructure::new(),
            baseline: Baseline::new(),
            step_rows: 0,
            critic: None,
            row_scores: None,
            second: Vec::new(),
            p_place: None,
            raw: Vec::new(),
            row: Vec::new(),
        }
    }

    /// Goes on with what terms remember of the same stream.
    pub(super) fn set_terms(&mut self, terms: TermState, baseline: Baseline) {
        (self.terms, self.baseline) = (terms, baseline);
    }

    /// Scores the next frame, which holds sound.
    /// `adaptive` are the terms of the stream, which learn from it.
    pub(super) fn push(
        &mut self,
        frame: &Frame,
        known: &Calibration,
        adaptive: &mut Adaptive,
        detector_model: &DetectorModel,
    ) -> Scores {
        known.site.push((&frame.bands, &frame.c), &mut self.extractor);
        self.terms.push(&known.terms, adaptive, &frame.bands);
        self.fine_structure.push(&frame.samples);
        if (frame.index + 1).is_multiple_of(ROW as u64) {
            known.site.raw_row(&mut self.extractor, &mut self.raw);
            let step = known.site.gain_step(&self.raw, &self.extractor.newest());
            let is_step = step == GainStep::Certain;
            self.follow_gain(is_step);
            let (critic, novelty) = self.critic_vote(known, detector_model, is_step);
            let lines = self.fine_structure.row();
            let lines = lines.as_ref().map(<[i8; _]>::as_slice);
            let values = self.terms.values(adaptive, BandMoments::of(&self.raw), lines);
            self.terms.learn(adaptive, lines);
            let surprisals = known.combination.surprisals(&values);
            if self.extractor.is_full() {
                let novelty = novelty.unwrap_or_else(|| known.site.distance(&self.raw));
                self.follow_site(novelty, frame.index, known);
                let p_novelty = known.novelty_tail.tail_probability(novelty);
                let usual = known.combination.usual_level();
                let score = known.combination.score(&surprisals, critic);
                let p = score.map(|score| known.score_probability(self.baseline.push(score, usual)));
                let p = p.map(|p| if step == GainStep::None { p } else { p.max(STEP_P) });
                let is_improbable = p.unwrap_or(p_novelty) < LOOKED_AT;
                let bands = if is_improbable { self.band_figures(known) } else { None };
                self.row_scores = Some(RowScores { novelty, p_novelty, p, surprisals, bands });
            }
        }
        let surprise = known.surprise.score(&frame.pmi).and_then(|s| self.smooth.push(s));
        self.scores(surprise, known)
    }

    /// The scores of a frame that holds no sound: those of the last row.
    pub(super) fn hold(&self, known: &Calibration) -> Scores {
        self.scores(None, known)
    }

    /// After 0.2 s of a step of the gain what terms compare with is shifted by it.
    fn follow_gain(&mut self, is_step: bool) {
        self.step_rows = if is_step { self.step_rows + 1 } else { 0 };
        if self.step_rows == STEP_ROWS {
            self.terms.follow_gain(self.raw.get(BRIEF).unwrap_or_default());
        }
    }

    /// Whether this is the site at all: the median novelty of each second.
    fn follow_site(&mut self, novelty: f64, frame: u64, known: &Calibration) {
        self.second.push(novelty);
        if (frame + 1).is_multiple_of(u64::from(FRAME_RATE)) {
            let middle = median(&mut self.second);
            self.second.clear();
            self.p_place = Some(known.place_tail.tail_probability(middle).powf(STAYS));
        }
    }

    fn band_figures(&mut self, known: &Calibration) -> Option<BandFigures> {
        known.site.band_excess(&self.raw, &mut self.row);
        let (loudest, &above) = self.row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        let below = -self.row.iter().copied().min_by(f32::total_cmp)?;
        let out = self.row.iter().filter(|excess| excess.abs() >= STANDS_OUT).count();
        let share = out as f32 / self.row.len() as f32;
        Some(BandFigures { loudest, above: above.max(0.0), below: below.max(0.0), share })
    }

    /// −log10 p of the critic, where there is one, and the novelty of the row, where the critic's input has it.
    fn critic_vote(
        &mut self,
        known: &Calibration,
        detector_model: &DetectorModel,
        is_step: bool,
    ) -> (Option<f64>, Option<f64>) {
        let Some((critic, live)) = detector_model.live_critic() else { return (None, None) };
        let novelty = known.site.row(&critic.config().channels, &self.raw, &mut self.row);
        let memory = self.critic.get_or_insert_with(|| live.fresh());
        let logit = live.step(&self.row, memory);
        let p = known.critic_probability(logit.into(), detector_model.usual());
        (p.map(|p| vote(p, is_step)), novelty)
    }

    /// The probability is that of all terms; surprise and novelty say what kind of evidence there is.
    fn scores(&self, surprise: Option<f64>, known: &Calibration) -> Scores {
        let p_surprise = surprise.map(|s| known.surprise_tail.tail_probability(s));
        let row_scores = self.row_scores.as_ref();
        let joined = CombinedPValue::of(p_surprise, row_scores.map(|v| v.p_novelty));
        let evidence = joined.map_or(Evidence::Novelty, |joined| joined.evidence);
        let alone = surprise.map_or(1.0, |surprise| known.surprise_probability(surprise));
        let combined = row_scores.and_then(|v| v.p).map(|p| CombinedPValue { p: p.min(alone), evidence });
        let least = |group: TermGroup| {
            let all = Term::ALL.iter().zip(row_scores.into_iter().flat_map(|v| v.surprisals));
            let of = all.filter(|(term, _)| term.group() == group).filter_map(|(_, surprisal)| surprisal);
            10f64.powf(-of.fold(0.0, f64::max)).max(P_FLOOR)
        };
        let terms = TermProbabilities {
            density: least(TermGroup::Density),
            short_prediction: least(TermGroup::ShortPrediction),
            long_prediction: least(TermGroup::LongPrediction),
            pmi: least(TermGroup::Pmi),
        };
        let bands = row_scores.and_then(|v| v.bands);
        let novelty = row_scores.map(|v| v.novelty);
        Scores { surprise, novelty, combined, bands, terms, p_place: self.p_place }
    }
}
