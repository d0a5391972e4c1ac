//! What is normal at a place, band by band, and rows of statistics in its units.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::prediction::Prediction;
use super::whitening::Whitening;
use crate::critic::Channel;
use crate::error::{Error, Result};
use crate::units::BANDS;

/// Frames of a row: 50 ms.
pub const ROW: usize = 5;
/// Windows of the statistics, in frames.
const BRIEF: usize = 10;
const SHORT: usize = 25;
const HALF: usize = 50;
/// Frames between a context and what it foretells: their windows share no sample.
const LAG: usize = 3;
/// Frames at the start that contexts and windows take to fill.
const WARM_UP: usize = 100;
/// Rows that the slow average remembers.
const SLOW_ROWS: f32 = 60.0;
/// Values are cut at so many deviations.
const LARGEST: f32 = 8.0;
/// Least deviations: of a mean over 0.1 s, of a mean over longer, of a deviation (ln of power).
const LEAST_BRIEF: f32 = 0.05;
const LEAST_MEAN: f32 = 0.03;
const LEAST_DEVIATION: f32 = 0.02;
/// Of a residual, before it is pooled.
const FEWEST_FRAMES: usize = 600;

/// The statistics of a place: of its log-mel bands over windows of 0.1 to 0.5 s, and of what its contexts do not foretell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    brief: Whitening,
    short: Whitening,
    half: Whitening,
    slow: Whitening,
    from_context: Prediction,
    unexpected: Whitening,
}

/// What a stream's rows are made from: the last half second.
#[derive(Debug, Clone)]
pub struct SiteState {
    /// The last [`HALF`] frames, `[64]` each: bands, and what was not foretold of them. A ring.
    bands: Vec<f32>,
    residuals: Vec<f32>,
    /// Contexts of the last [`LAG`] frames, a ring.
    contexts: Vec<Vec<f32>>,
    slow: Vec<f32>,
    frames: usize,
}

impl Default for SiteState {
    fn default() -> Self {
        Self::new()
    }
}

impl SiteState {
    /// Of a stream that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bands: vec![0.0; HALF * BANDS],
            residuals: vec![0.0; HALF * BANDS],
            contexts: Vec::new(),
            slow: Vec::new(),
            frames: 0,
        }
    }

    /// Whether the windows are full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.frames >= HALF + LAG
    }

    /// Means, then deviations, over the last `window` frames of a ring.
    fn moments(&self, ring: &[f32], window: usize, out: &mut Vec<f32>) {
        out.clear();
        out.resize(2 * BANDS, 0.0);
        let (means, deviations) = out.split_at_mut(BANDS);
        let held = window.min(self.frames).max(1);
        let rows = || {
            (0..held).filter_map(|back| {
                let at = (self.frames + HALF - 1 - back) % HALF;
                ring.get(at * BANDS..(at + 1) * BANDS)
            })
        };
        let share = 1.0 / held as f32;
        rows().for_each(|row| means.iter_mut().zip(row).for_each(|(m, x)| *m += share * x));
        for row in rows() {
            for ((d, m), x) in deviations.iter_mut().zip(means.iter()).zip(row) {
                *d += share * (x - m) * (x - m);
            }
        }
        deviations.iter_mut().for_each(|d| *d = d.sqrt());
    }
}

/// Rows of raw statistics that a place is fitted to.
#[derive(Default)]
struct Heard {
    brief: Vec<f32>,
    short: Vec<f32>,
    half: Vec<f32>,
    slow: Vec<f32>,
    unexpected: Vec<f32>,
}

impl Site {
    /// Learns the place from frames: `bands` `[n, 64]` and `contexts` `[n, width]`, in the order of time. Those for which
    /// `left_out` is true are passed over.
    ///
    /// # Errors
    /// When fewer than 6 s are left.
    pub fn fit(
        bands: &[f32],
        contexts: &[f32],
        width: usize,
        left_out: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let n = bands.len() / BANDS;
        let chosen: Vec<usize> = (WARM_UP..n).filter(|&i| !left_out(i)).collect();
        if chosen.len() < FEWEST_FRAMES {
            return Err(Error::config(
                format!(
                    "calibration heard {} usable frames, expected at least {FEWEST_FRAMES}",
                    chosen.len()
                ),
                "let calibration listen longer, or run `calibrate` again",
            ));
        }
        let rows = |values: &[f32], width: usize, back: usize| {
            let row = |&i: &usize| values.get((i - back) * width..(i - back + 1) * width).unwrap_or_default();
            let flat: Vec<f32> = chosen.iter().flat_map(row).copied().collect();
            DMatrix::from_row_slice(chosen.len(), width, &flat)
        };
        let from_context = Prediction::fit(&rows(contexts, width, LAG), &rows(bands, BANDS, 0))?;

        let (mut state, mut heard, mut scratch) = (SiteState::new(), Heard::default(), Vec::new());
        for (i, frame) in bands.chunks_exact(BANDS).zip(contexts.chunks_exact(width.max(1))).enumerate() {
            push(&from_context, frame, &mut state);
            if i < WARM_UP || (i + 1) % ROW != 0 || left_out(i) {
                if (i + 1) % ROW == 0 {
                    state.moments(&state.bands, BRIEF, &mut scratch);
                    follow(&mut state.slow, scratch.get(..BANDS).unwrap_or_default());
                }
                continue;
            }
            state.moments(&state.bands, BRIEF, &mut scratch);
            let brief = scratch.get(..BANDS).unwrap_or_default();
            heard.brief.extend_from_slice(brief);
            follow(&mut state.slow, brief);
            heard.slow.extend_from_slice(&state.slow);
            for (window, ring, to) in [
                (SHORT, &state.bands, &mut heard.short),
                (HALF, &state.bands, &mut heard.half),
                (HALF, &state.residuals, &mut heard.unexpected),
            ] {
                state.moments(ring, window, &mut scratch);
                to.extend_from_slice(&scratch);
            }
        }
        let both = |i: usize| if i < BANDS { LEAST_MEAN } else { LEAST_DEVIATION };
        Ok(Self {
            brief: Whitening::fit(&heard.brief, BANDS, |_| LEAST_BRIEF)?,
            short: Whitening::fit(&heard.short, 2 * BANDS, both)?,
            half: Whitening::fit(&heard.half, 2 * BANDS, both)?,
            slow: Whitening::scales(&heard.slow, BANDS, |_| LEAST_MEAN),
            from_context,
            unexpected: Whitening::fit(&heard.unexpected, 2 * BANDS, both)?,
        })
    }

    /// Hears the next frame: `bands` `[64]` and the context `[width]`.
    pub fn push(&self, frame: (&[f32], &[f32]), state: &mut SiteState) {
        push(&self.from_context, frame, state);
    }

    /// The row that ends with the last frame, in the order of `channels`: planes of 64 bands, each within ±8, then
    /// distances. To be called once in [`ROW`] frames.
    pub fn row(&self, channels: &[Channel], state: &mut SiteState, out: &mut Vec<f32>) {
        let (mut raw, mut white) = (Vec::with_capacity(2 * BANDS), Vec::with_capacity(2 * BANDS));
        let mut distances = Vec::new();
        out.clear();
        state.moments(&state.bands, BRIEF, &mut raw);
        raw.truncate(BANDS);
        follow(&mut state.slow, &raw);
        for channel in channels {
            match channel {
                Channel::Brief => self.brief.apply(&raw_of(state, BRIEF, BANDS), &mut white),
                Channel::Short => self.short.apply(&raw_of(state, SHORT, 2 * BANDS), &mut white),
                Channel::Half => self.half.apply(&raw_of(state, HALF, 2 * BANDS), &mut white),
                Channel::Level => self.half.normal(&raw_of(state, HALF, BANDS), &mut white),
                Channel::Unexpected => {
                    state.moments(&state.residuals, HALF, &mut raw);
                    self.unexpected.apply(&raw, &mut white);
                }
                Channel::Slow => self.slow.normal(&state.slow, &mut white),
            }
            if channel.has_distance() {
                distances.push(distance(&white));
            }
            out.extend(white.iter().map(|x| x.clamp(-LARGEST, LARGEST)));
        }
        out.extend(distances);
    }

    /// Mahalanobis distance of means and deviations over the last 0.5 s from what is normal, about 1 for normal sound: the
    /// density by itself, without a critic.
    #[must_use]
    pub fn distance(&self, state: &SiteState) -> f64 {
        let mut white = Vec::with_capacity(2 * BANDS);
        self.half.apply(&raw_of(state, HALF, 2 * BANDS), &mut white);
        f64::from(white.iter().map(|x| x * x).sum::<f32>() / white.len().max(1) as f32).sqrt()
    }

    /// How far each band lies above its mean over the last 0.25 s, in its deviations, `[64]`.
    pub fn band_excess(&self, state: &SiteState, out: &mut Vec<f32>) {
        self.short.normal(&raw_of(state, SHORT, BANDS), out);
    }

    /// Whether this could have come from a fit to contexts of `width` values.
    pub(crate) fn is_whole(&self, width: usize) -> bool {
        self.brief.is_whole(BANDS, true)
            && self.short.is_whole(2 * BANDS, true)
            && self.half.is_whole(2 * BANDS, true)
            && self.slow.is_whole(BANDS, false)
            && self.from_context.is_whole(width)
            && self.unexpected.is_whole(2 * BANDS, true)
    }
}

/// Statistics of the bands, the first `width` of means and deviations.
fn raw_of(state: &SiteState, window: usize, width: usize) -> Vec<f32> {
    let mut raw = Vec::with_capacity(2 * BANDS);
    state.moments(&state.bands, window, &mut raw);
    raw.truncate(width);
    raw
}

fn distance(white: &[f32]) -> f32 {
    (white.iter().map(|x| x * x).sum::<f32>() / white.len().max(1) as f32 + 1e-3).ln()
}

fn push(from_context: &Prediction, (bands, context): (&[f32], &[f32]), state: &mut SiteState) {
    let at = state.frames % HALF;
    let range = at * BANDS..(at + 1) * BANDS;
    if let Some(place) = state.bands.get_mut(range.clone()) {
        place.iter_mut().zip(bands).for_each(|(to, x)| *to = *x);
    }
    if let Some(place) = state.residuals.get_mut(range) {
        match state.contexts.get(state.frames % LAG) {
            Some(before) if state.contexts.len() == LAG => from_context.residual(before, bands, place),
            _ => place.iter_mut().for_each(|x| *x = 0.0),
        }
    }
    if state.contexts.len() < LAG {
        state.contexts.push(context.to_vec());
    } else if let Some(oldest) = state.contexts.get_mut(state.frames % LAG) {
        oldest.clear();
        oldest.extend_from_slice(context);
    }
    state.frames += 1;
}

/// Exponential average; the first value is taken as it is.
fn follow(average: &mut Vec<f32>, now: &[f32]) {
    if average.is_empty() {
        average.extend_from_slice(now);
    } else {
        let rate = 1.0 - (-1.0 / SLOW_ROWS).exp();
        average.iter_mut().zip(now).for_each(|(a, x)| *a += rate * (x - *a));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const WIDTH: usize = 5;
    const ALL: [Channel; 6] =
        [Channel::Brief, Channel::Short, Channel::Half, Channel::Level, Channel::Unexpected, Channel::Slow];

    /// Bands that follow context 0 three frames later, each with another strength, and noise.
    fn place(frames: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut contexts, mut bands) = (Vec::new(), Vec::new());
        for u in 0..frames {
            contexts.extend((0..WIDTH).map(|_| rng.random_range(-1.0..1.0f32)));
            let told = if u >= LAG { contexts[(u - LAG) * WIDTH] } else { 0.0 };
            bands.extend((0..BANDS).map(|b| -6.0 + told * (b % 3) as f32 + rng.random_range(-0.5..0.5f32)));
        }
        (bands, contexts)
    }

    fn rows(site: &Site, bands: &[f32], contexts: &[f32]) -> Vec<Vec<f32>> {
        let mut state = SiteState::new();
        let mut out = Vec::new();
        for (i, frame) in bands.chunks_exact(BANDS).zip(contexts.chunks_exact(WIDTH)).enumerate() {
            site.push(frame, &mut state);
            if (i + 1) % ROW == 0 {
                let mut row = Vec::new();
                site.row(&ALL, &mut state, &mut row);
                out.push(row);
            }
        }
        out.split_off(20)
    }

    #[test]
    fn rows_are_in_the_units_of_the_place() {
        let (bands, contexts) = place(8000, 1);
        let site = Site::fit(&bands, &contexts, WIDTH, |_| false).unwrap();
        let (bands, contexts) = place(4000, 2);
        let rows = rows(&site, &bands, &contexts);
        assert_eq!(rows[0].len(), 9 * BANDS + 3);
        // all but the slow plane, whose average hardly moves
        for column in (0..8 * BANDS).step_by(37) {
            let values: Vec<f32> = rows.iter().map(|r| r[column]).collect();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let d = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt();
            assert!(mean.abs() < 0.4 && (0.4..1.6).contains(&d), "{column}: {mean} ± {d}");
        }
        let distance = rows.iter().map(|r| r[9 * BANDS]).sum::<f32>() / rows.len() as f32;
        assert!(distance.abs() < 0.4, "{distance}");
    }

    #[test]
    fn a_foreign_band_is_far_and_told_by_its_number() {
        let (mut bands, contexts) = place(8000, 3);
        let site = Site::fit(&bands, &contexts, WIDTH, |i| (2000..4000).contains(&i)).unwrap();
        bands.chunks_exact_mut(BANDS).skip(7900).for_each(|frame| frame[20] += 3.0);
        let mut state = SiteState::new();
        let mut before = 0.0;
        for (i, frame) in bands.chunks_exact(BANDS).zip(contexts.chunks_exact(WIDTH)).enumerate() {
            site.push(frame, &mut state);
            if i == 7890 {
                before = site.distance(&state);
            }
        }
        assert!(site.distance(&state) > 2.0 * before, "{} after {before}", site.distance(&state));
        let mut excess = Vec::new();
        site.band_excess(&state, &mut excess);
        let loudest = (0..BANDS).max_by(|&a, &b| excess[a].total_cmp(&excess[b])).unwrap();
        assert_eq!(loudest, 20);
    }

    #[test]
    fn a_short_calibration_is_refused_and_a_fit_is_whole() {
        let (bands, contexts) = place(1200, 4);
        assert!(Site::fit(&bands[..600 * BANDS], &contexts, WIDTH, |_| false).is_err());
        let site = Site::fit(&bands, &contexts, WIDTH, |_| false).unwrap();
        assert!(site.is_whole(WIDTH) && !site.is_whole(WIDTH + 1));
        let json = serde_json::to_string(&site).unwrap();
        assert_eq!(serde_json::from_str::<Site>(&json).unwrap(), site);
    }
}
