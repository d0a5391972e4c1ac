//! What a stream remembers for its terms.

use super::adaptive::Adaptive;
use super::context::{ContextModel, ContextState};
use super::density::Density;
use super::fine_structure::FineDensity;
use super::groups::{GROUPS, powers};
use super::model::TermModel;
use super::modulation::Modulation;
use super::row_moments::{DENSITIES, MOMENTS};
use super::{TERMS, Values};
use crate::detect::exact::exact;
use crate::detect::row_layout::{DEPARTURE, HALF, LAG, SHORT};
use crate::detect::windows::HALF_FRAMES;
use crate::units::BANDS;

/// Rows that the baseline of the bands remembers: 30 s.
const BASELINE_ROWS: f32 = 600.0;
/// What calibration received counts as so many rows when a stream begins.
const USUAL_ROWS: f32 = 200.0;
/// A band pulls the baseline as if it were at most this far from it, in ln of power: a loud second is no new baseline.
const LARGEST_PULL: f32 = 1.5;
/// Beyond this squared distance (1 is usual) it is another sound than that of the site, of which nothing is learnt and which the
/// baseline follows a tenth as fast ...
const FAR: f64 = 6.0;
const FAR_RATE: f32 = 0.1;
/// ... unless it has stayed for so many rows more than it was away: half a minute. Then it is the site.
const STAYS: u32 = 600;

/// Means, then deviations, over the windows that end with a row, `[128]` each.
#[derive(Debug, Clone, Copy)]
pub(in crate::detect) struct BandMoments<'a> {
    /// Of the bands over 0.5 s.
    pub(super) half: &'a [f32],
    /// Of the bands over 0.25 s.
    pub(super) quarter: &'a [f32],
    /// Over 0.5 s of what their trend did not predict of them.
    pub(super) errors: &'a [f32],
}

impl<'a> BandMoments<'a> {
    /// Those of a raw row.
    pub(in crate::detect) fn of(raw: &'a [f32]) -> Self {
        let [half, quarter, errors] =
            [HALF, SHORT, DEPARTURE].map(|range| raw.get(range).unwrap_or_default());
        Self { half, quarter, errors }
    }
}

/// What a stream remembers: the baseline of the last 30 s, envelopes, contexts.
#[derive(Debug, Clone)]
pub(in crate::detect) struct TermState {
    baseline: [f32; BANDS],
    rows: u64,
    /// The last 0.5 s were far from what is usual, and for how many rows.
    is_far: bool,
    far_rows: u32,
    distances: [f64; DENSITIES],
    /// The value of the last lines.
    of_lines: Option<f64>,
    modulation: Modulation,
    contexts: [ContextState; 2],
    frames: usize,
    scratch: Vec<f32>,
    features: Features,
}

exact!(TermState {
    baseline,
    rows,
    is_far,
    far_rows,
    distances,
    of_lines,
    modulation,
    contexts,
    frames,
    scratch,
    features
});

/// The vectors whose densities are terms.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    pub(super) half: Vec<f32>,
    pub(super) quarter: Vec<f32>,
    pub(super) short: Vec<f32>,
    pub(super) modulation: Vec<f32>,
}

exact!(Features { half, quarter, short, modulation });

impl Features {
    /// In the order of the densities.
    fn parts(&self) -> [&[f32]; DENSITIES] {
        [&self.half, &self.quarter, &self.short, &self.modulation]
    }
}

impl TermState {
    /// Of a stream that begins.
    pub(in crate::detect) fn new() -> Self {
        Self {
            baseline: [0.0; BANDS],
            rows: 0,
            is_far: false,
            far_rows: 0,
            distances: [0.0; DENSITIES],
            of_lines: None,
            modulation: Modulation::new(),
            contexts: [ContextState::new(4), ContextState::new(8)],
            frames: 0,
            scratch: Vec::with_capacity(MOMENTS),
            features: Features::default(),
        }
    }

    /// Takes the next frame's log-mel bands `[64]`, and learns from it.
    pub(in crate::detect) fn push(&mut self, model: &TermModel, adaptive: &mut Adaptive, bands: &[f32]) {
        self.push_with(model, adaptive.contexts(), bands);
        adaptive.learn_steps(&self.contexts, self.follows());
    }

    /// Learns from the rows whose values were asked for last, with these `lines`.
    pub(in crate::detect) fn learn(&self, adaptive: &mut Adaptive, lines: Option<&[i8]>) {
        if self.is_full() && self.follows() {
            adaptive.learn(self.rows, self.features.parts(), self.distances);
            if let Some((row, value)) = lines.zip(self.of_lines) {
                adaptive.learn_lines(row, value);
            }
        }
    }

    /// The same with predictions as they are.
    pub(super) fn push_with(
        &mut self,
        model: &TermModel,
        contexts: Option<[&ContextModel; 2]>,
        bands: &[f32],
    ) {
        if self.frames == 0 {
            self.start(&model.level);
        }
        let powers = self.push_envelopes(bands);
        if let Some(models) = contexts {
            for (state, model) in self.contexts.iter_mut().zip(models) {
                state.push(model, &powers);
            }
        }
    }

    /// Begins where bands usually are, `[64]`.
    pub(super) fn start(&mut self, level: &[f32]) {
        self.baseline.iter_mut().zip(level).for_each(|(to, x)| *to = *x);
        let usual = powers(level);
        self.contexts.iter_mut().for_each(|context| context.start(&usual));
    }

    /// The same without contexts; gives the mean powers of the groups.
    pub(super) fn push_envelopes(&mut self, bands: &[f32]) -> [f32; GROUPS] {
        let powers = powers(bands);
        self.modulation.push(&powers);
        self.frames += 1;
        powers
    }

    /// The gain has changed for good: moves what terms compare with by the common shift of `now`, the bands `[64]` of the last
    /// 0.1 s. What contexts remember is relative to that already.
    pub(in crate::detect) fn follow_gain(&mut self, now: &[f32]) {
        let mut shifts = [0.0f32; BANDS];
        shifts.iter_mut().zip(now).zip(&self.baseline).for_each(|((to, x), b)| *to = x - b);
        shifts.sort_unstable_by(f32::total_cmp);
        let shift = shifts[BANDS / 2];
        self.baseline.iter_mut().for_each(|b| *b += shift);
        self.contexts.iter_mut().for_each(|context| context.follow_gain(shift));
    }

    /// Whether all windows but those of the contexts are full.
    pub(in crate::detect) fn is_full(&self) -> bool {
        self.frames >= HALF_FRAMES + LAG && self.modulation.is_full()
    }

    /// The values that end with the last frame, of these `windows` and with the `lines` of its spectrum. To be called once in 5
    /// frames: the baseline moves on.
    pub(in crate::detect) fn values(
        &mut self,
        adaptive: &Adaptive,
        windows: BandMoments<'_>,
        lines: Option<&[i8]>,
    ) -> Values {
        self.values_with(adaptive.densities(), windows, lines.map(|row| (adaptive.lines(), row)))
    }

    /// The same by these densities.
    pub(super) fn values_with(
        &mut self,
        densities: &[Density; DENSITIES],
        windows: BandMoments<'_>,
        lines: Option<(&FineDensity, &[i8])>,
    ) -> Values {
        self.update_features(windows);
        let mut values = [None; TERMS];
        if !self.is_full() {
            return values;
        }
        let parts = self.features.parts().into_iter().zip(densities);
        for (to, (row, density)) in self.distances.iter_mut().zip(parts) {
            *to = density.distance(row, &mut self.scratch);
        }
        let scores = self.contexts.each_ref().map(ContextState::scores);
        let contexts = scores.into_iter().flat_map(|s| [s.map(|s| s.residual), s.map(|s| s.ratio)]);
        self.of_lines = lines.map(|(density, row)| density.value(row));
        let all = self.distances.into_iter().map(Some).chain([self.of_lines]).chain(contexts);
        values.iter_mut().zip(all).for_each(|(to, value)| *to = value);
        self.is_far = self.distances.first().is_some_and(|&distance| distance > FAR);
        self.far_rows =
            if self.is_far { (self.far_rows + 1).min(2 * STAYS) } else { self.far_rows.saturating_sub(1) };
        values
    }

    /// Whether the sound of now is that of the site: near what was usual, or far from it for half a minute.
    fn follows(&self) -> bool {
        !self.is_far || self.far_rows >= STAYS
    }

    /// The vectors that end with the last frame, and moves the baseline on.
    pub(super) fn update_features(&mut self, windows: BandMoments<'_>) -> &Features {
        let follows = self.follows();
        let Features { half, quarter, short, modulation } = &mut self.features;
        for (to, from) in
            [(&mut *half, windows.half), (&mut *quarter, windows.quarter), (short, windows.errors)]
        {
            to.clear();
            to.extend_from_slice(from);
        }
        self.modulation.row(modulation);
        let rate = (1.0 / (self.rows as f32 + USUAL_ROWS)).max(1.0 - (-1.0 / BASELINE_ROWS).exp());
        let rate = if follows { rate } else { FAR_RATE * rate };
        for (baseline, x) in self.baseline.iter_mut().zip(half.iter()) {
            *baseline += rate * (x - *baseline).clamp(-LARGEST_PULL, LARGEST_PULL);
        }
        self.rows += 1;
        for row in [half, quarter] {
            row.iter_mut().zip(&self.baseline).for_each(|(x, b)| *x -= b);
        }
        &self.features
    }
}
