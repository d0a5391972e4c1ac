//! An event as it grows, frame by frame.

use super::kind::{EventFeatures, classify};
use super::recurring::Repeat;
use crate::detect::exact::{exact, exact_names};
use crate::event::{Detail, Evidence, Finding, Kind, Phase, Tier};
use crate::nn::band_edges;
use crate::units::{BANDS, FRAME_RATE, frame_end, frame_start, samples_to_seconds};

/// One scored frame, as the gate sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScoredFrame {
    pub(crate) index: u64,
    pub(crate) p: f64,
    /// Probability of the novelty: whether this is the site that was calibrated.
    pub(crate) p_place: f64,
    pub(crate) score: f64,
    pub(crate) evidence: Evidence,
    pub(crate) surprise: f64,
    pub(crate) novelty: f64,
    /// The band that stands out, if it was looked for.
    pub(crate) band: Option<usize>,
    pub(crate) level_dbfs: f32,
    pub(crate) pmi: Vec<f32>,
    /// What kind of thing it may be.
    pub(crate) clues: EventFeatures,
}

exact_names!(Evidence { Surprise, Novelty });
exact!(ScoredFrame { index, p, p_place, score, evidence, surprise, novelty, band, level_dbfs, pmi, clues });

impl ScoredFrame {
    /// A frame of which nothing is known but that nothing was received.
    pub(crate) fn quiet(index: u64) -> Self {
        Self {
            index,
            p: 1.0,
            p_place: 1.0,
            score: 0.0,
            evidence: Evidence::Novelty,
            surprise: 0.0,
            novelty: 0.0,
            band: None,
            level_dbfs: -120.0,
            pmi: Vec::new(),
            clues: EventFeatures::default(),
        }
    }
}

/// What an event's findings say beside what its frames say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventContext {
    pub(crate) number: u64,
    /// Frame of its first report; none where this is it.
    pub(crate) reported: Option<u64>,
    pub(crate) background_dbfs: f32,
    pub(crate) budget_per_hour: f64,
    pub(crate) calibration: String,
    pub(crate) repeat: Option<Repeat>,
}

/// Score and level over a run of frames.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Totals {
    score: f64,
    frames: u64,
    level_dbfs: f32,
}

exact!(Totals { score, frames, level_dbfs });

impl Totals {
    const NONE: Self = Self { score: 0.0, frames: 0, level_dbfs: -120.0 };

    fn add(&mut self, other: Self) {
        self.score += other.score;
        self.frames += other.frames;
        self.level_dbfs = self.level_dbfs.max(other.level_dbfs);
    }
}

/// An event from its onset on. Quiet frames count only once the event comes again after them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OngoingEvent {
    onset: u64,
    last_active: u64,
    sure: Totals,
    quiet: Totals,
    peak: ScoredFrame,
    clues: EventFeatures,
}

exact!(OngoingEvent { onset, last_active, sure, quiet, peak, clues });

impl OngoingEvent {
    /// An event that begins with `first`.
    pub(crate) fn new(first: &ScoredFrame) -> Self {
        let mut episode = Self {
            onset: first.index,
            last_active: first.index,
            sure: Totals::NONE,
            quiet: Totals::NONE,
            peak: first.clone(),
            clues: first.clues,
        };
        episode.push(first, true);
        episode
    }

    /// Adds a frame, which is part of the event (`active`) or perhaps a pause in it.
    pub(crate) fn push(&mut self, frame: &ScoredFrame, active: bool) {
        self.quiet.add(Totals { score: frame.score, frames: 1, level_dbfs: frame.level_dbfs });
        if active {
            self.sure.add(std::mem::replace(&mut self.quiet, Totals::NONE));
            self.last_active = frame.index;
            self.clues.add(&frame.clues);
        }
        if frame.p < self.peak.p {
            self.peak.clone_from(frame);
        }
    }

    pub(crate) fn onset(&self) -> u64 {
        self.onset
    }

    /// The smallest p so far.
    pub(crate) fn peak_p(&self) -> f64 {
        self.peak.p
    }

    pub(crate) fn last_active(&self) -> u64 {
        self.last_active
    }

    /// What it is, by what was received so far.
    pub(crate) fn kind(&self) -> Kind {
        self.classify().0
    }

    fn classify(&self) -> (Kind, Detail) {
        let lasts_s = (self.last_active + 1 - self.onset) as f64 / f64::from(FRAME_RATE);
        classify(&EventFeatures { lasts_s, ..self.clues })
    }

    /// The finding of this event once frame `now` has been received.
    pub(crate) fn finding(
        &self,
        phase: Phase,
        now: u64,
        severe_below: f64,
        setting: &EventContext,
    ) -> Finding {
        let onset = frame_start(self.onset);
        let (kind, detail) = self.classify();
        let offset = (phase == Phase::End).then(|| frame_end(self.last_active));
        let mut finding = Finding {
            phase,
            number: setting.number,
            onset_sample: onset,
            onset_s: samples_to_seconds(onset),
            offset_sample: offset,
            offset_s: offset.map(samples_to_seconds),
            emitted_s: samples_to_seconds(frame_end(now)),
            reported_s: Some(samples_to_seconds(frame_end(setting.reported.unwrap_or(now)))),
            peak_s: samples_to_seconds(frame_start(self.peak.index)),
            score: self.peak.score,
            score_mean: (self.sure.score / self.sure.frames as f64).min(self.peak.score),
            p: self.peak.p,
            tier: if self.peak.p < severe_below { Tier::Severe } else { Tier::Alarm },
            severity: 0,
            evidence: self.peak.evidence,
            kind,
            detail,
            summary: String::new(),
            repeat_of: setting.repeat.map(|repeat| repeat.of),
            repeats: setting.repeat.map_or(0, |repeat| repeat.times),
            surprise: self.peak.surprise,
            surprise_per_k: self.peak.pmi.iter().map(|x| x.is_finite().then_some(-x)).collect(),
            novelty: self.peak.novelty,
            band_hz: self.peak.band.map(|band| band_edges(BANDS, band)),
            level_dbfs: self.sure.level_dbfs,
            background_dbfs: setting.background_dbfs,
            level_change_db: self.sure.level_dbfs - setting.background_dbfs,
            nearest: None,
            embedding: None,
            budget_per_hour: setting.budget_per_hour,
            calibration: setting.calibration.clone(),
            regime: false,
        };
        finding.summarise();
        finding.grade();
        finding
    }
}
