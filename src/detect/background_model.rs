//! What is normal at a site, band by band, and rows of statistics in its units.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::band_predictors::BandPredictors;
use super::feature_rows::FeatureExtractor;
use super::kept::{Bands, Kept};
use super::row_layout::{
    BRIEF, DEPARTURE, HALF, RAW, ROW, SHORT, SLOW, SUDDEN, UNEXPECTED, WARM_UP, too_short,
};
use super::whitening::Whitening;
use crate::critic::Channel;
use crate::error::Result;
use crate::units::BANDS;

/// Rows of a piece: 10 s.
const PIECE: usize = 200;
/// Fewest rows that a site is fitted to: 5 s.
const FEWEST_ROWS: usize = 100;
/// Values are cut at so many deviations.
const LARGEST: f32 = 8.0;
/// Squared deviations a band that are common to all in a step of the gain, at least, and that are left, at most.
const STEP_COMMON: f32 = 4.0;
const STEP_LEFT: f32 = 2.0;
/// Where bands vary much by themselves, less is common: then a step has at least so much of it for what is left, and this size
/// (ln of power: 1.7 dB).
const STEP_SHARE: f32 = 6.0;
const STEP_SMALLEST: f32 = 0.4;
/// The largest step of the gain, in ln of power: 9 dB.
const STEP_LARGEST: f32 = 2.07;
/// What is added to deviations: of a mean over 0.1 s, of a mean over longer, of a deviation (ln of power).
const LEAST_BRIEF: f32 = 0.05;
const LEAST_MEAN: f32 = 0.03;
const LEAST_DEVIATION: f32 = 0.02;

/// Whether the sound differs from that before as if the gain had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GainStep {
    /// No.
    None,
    /// The shift is no larger than what is usual of these bands, but all of them have it.
    Possible,
    /// The shift is larger than what is usual.
    Certain,
}

/// The statistics of a site: of its log-mel bands over windows of 0.1 to 0.5 s, and of what its contexts do not predict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackgroundModel {
    predictors: BandPredictors,
    brief: Whitening,
    short: Whitening,
    half: Whitening,
    slow: Whitening,
    sudden: Whitening,
    unexpected: Whitening,
    departure: Whitening,
}

impl BackgroundModel {
    /// Learns the site from consecutive frames: `bands` `[n, 64]` and `contexts` `[n, width]`.
    ///
    /// # Errors
    /// When there are fewer than 6 s.
    pub fn fit(bands: &[f32], contexts: &[f32], width: usize) -> Result<Self> {
        let context = |at: usize, out: &mut [f32]| {
            let values = contexts.get(at * width..(at + 1) * width).unwrap_or_default();
            out.iter_mut().zip(values).for_each(|(to, x)| *to = *x);
        };
        let predictors = BandPredictors::fit(bands, &context, width, &[])?;
        let rows = RawRows::of(&predictors, bands, context, width, &[]);
        Self::of(predictors, &rows, &|_| true)
    }

    /// Of those of the raw rows that are `kept`, and the predictions that they were made with.
    pub(super) fn of(
        predictors: BandPredictors,
        rows: &RawRows,
        kept: &dyn Fn(usize) -> bool,
    ) -> Result<Self> {
        let count = (0..rows.len()).filter(|&row| kept(row)).count();
        if count < FEWEST_ROWS {
            return Err(too_short(count / 20));
        }
        let white = |range: Range<usize>, least: &dyn Fn(usize) -> f32| {
            let width = range.len();
            Whitening::fit(&|take| rows.each(range.clone(), kept, take), width, least)
        };
        let both = |i: usize| if i < BANDS { LEAST_MEAN } else { LEAST_DEVIATION };
        Ok(Self {
            predictors,
            brief: white(BRIEF, &|_| LEAST_BRIEF)?,
            short: white(SHORT, &both)?,
            half: white(HALF, &both)?,
            slow: Whitening::scales(&|take| rows.each(SLOW, kept, take), BANDS, |_| LEAST_MEAN),
            sudden: white(SUDDEN, &|_| LEAST_BRIEF)?,
            unexpected: white(UNEXPECTED, &both)?,
            departure: white(DEPARTURE, &both)?,
        })
    }

    /// The predictions that its rows are made with.
    pub(super) fn predictors(&self) -> &BandPredictors {
        &self.predictors
    }

    /// Takes the next frame: `bands` `[64]` and the context.
    pub fn push(&self, frame: (&[f32], &[f32]), extractor: &mut FeatureExtractor) {
        extractor.push(&self.predictors, frame);
    }

    /// The raw row that ends with the last frame. To be called once in [`ROW`](super::ROW) frames: a slow average moves on.
    pub fn raw_row(&self, extractor: &mut FeatureExtractor, out: &mut Vec<f32>) {
        extractor.row(&self.predictors, out);
    }

    /// A raw row in units of the site, in the order of `channels`: planes of 64 bands, each within ±8, then distances. Gives the
    /// [`distance`](Self::distance) of the row where [`Channel::Half`] is among them.
    pub fn row(&self, channels: &[Channel], raw: &[f32], out: &mut Vec<f32>) -> Option<f64> {
        let (mut white, mut distance) = (Vec::with_capacity(4 * BANDS), None);
        let mut distances = Vec::new();
        out.clear();
        for channel in channels {
            let part = |range: std::ops::Range<usize>| raw.get(range).unwrap_or_default();
            match channel {
                Channel::Brief => self.brief.apply(part(BRIEF), &mut white),
                Channel::Short => self.short.apply(part(SHORT), &mut white),
                Channel::Half => self.half.apply(part(HALF), &mut white),
                Channel::Level => self.half.normal(part(HALF.start..HALF.start + BANDS), &mut white),
                Channel::Sudden => self.sudden.apply(part(SUDDEN), &mut white),
                Channel::Unexpected => self.unexpected.apply(part(UNEXPECTED), &mut white),
                Channel::Departure => self.departure.apply(part(DEPARTURE), &mut white),
                Channel::Spread => self.brief.spread(&mut white),
                Channel::Slow => self.slow.normal(part(SLOW), &mut white),
            }
            if *channel == Channel::Half {
                distance = Some(norm(&white));
            }
            if channel.has_distance() {
                distances.push((mean_square(&white) + 1e-3).ln());
            }
            out.extend(white.iter().map(|x| x.clamp(-LARGEST, LARGEST)));
        }
        out.extend(distances);
        distance
    }

    /// Mahalanobis distance of means and deviations over 0.5 s from what is normal, about 1 for normal sound.
    #[must_use]
    pub fn distance(&self, raw: &[f32]) -> f64 {
        let mut white = Vec::with_capacity(4 * BANDS);
        self.half.apply(raw.get(HALF).unwrap_or_default(), &mut white);
        norm(&white)
    }

    /// Whether the last 0.1 s of a raw row differ from its last seconds by one shift of all bands by up to 9 dB, and the rest is
    /// normal; or whether the `newest` frames do, `[64]` means over 50 ms.
    ///
    /// A machine that stops shifts them farther, or not all alike.
    pub(super) fn gain_step(&self, raw: &[f32], newest: &[f32]) -> GainStep {
        let part = |range: std::ops::Range<usize>| raw.get(range).unwrap_or_default();
        match self.gain_step_of(part(SLOW), part(BRIEF)) {
            GainStep::None if self.gain_step_of(part(SLOW), newest) != GainStep::None => GainStep::Possible,
            step => step,
        }
    }

    fn gain_step_of(&self, before: &[f32], now: &[f32]) -> GainStep {
        let (shift, common, left) = self.brief.common_shift(before, now);
        if shift.abs() > STEP_LARGEST || left > STEP_LEFT {
            GainStep::None
        } else if common >= STEP_COMMON {
            GainStep::Certain
        } else if shift.abs() >= STEP_SMALLEST && common >= STEP_SHARE * left {
            GainStep::Possible
        } else {
            GainStep::None
        }
    }

    /// How far each band lies above its mean over 0.25 s, in its deviations, `[64]`.
    pub fn band_excess(&self, raw: &[f32], out: &mut Vec<f32>) {
        self.short.normal(raw.get(SHORT.start..SHORT.start + BANDS).unwrap_or_default(), out);
    }

    /// Whether this could have come from a fit to contexts of `width` values.
    pub(crate) fn is_whole(&self, width: usize) -> bool {
        self.predictors.is_whole(width)
            && self.brief.is_whole(BANDS, true)
            && self.short.is_whole(2 * BANDS, true)
            && self.half.is_whole(2 * BANDS, true)
            && self.slow.is_whole(BANDS, false)
            && self.sudden.is_whole(BANDS, true)
            && self.unexpected.is_whole(2 * BANDS, true)
            && self.departure.is_whole(2 * BANDS, true)
    }
}

/// Root of the mean square.
fn norm(white: &[f32]) -> f64 {
    f64::from(mean_square(white)).sqrt()
}

fn mean_square(xs: &[f32]) -> f32 {
    xs.iter().map(|x| x * x).sum::<f32>() / xs.len().max(1) as f32
}

/// The raw rows of a stretch of frames, those alone whose windows and contexts were full.
pub(super) struct RawRows {
    /// The number of the last frame of each in the stretch.
    frames: Vec<usize>,
    /// `[704]` each.
    values: Kept,
}

impl RawRows {
    /// Of the `bands` of consecutive frames and of their contexts, `[width]`, which `context` writes, once each and in order; at
    /// each of `breaks` (frame numbers, ascending) the sound begins anew.
    pub(super) fn of(
        predictors: &BandPredictors,
        bands: &(impl Bands + ?Sized),
        mut context: impl FnMut(usize, &mut [f32]),
        width: usize,
        breaks: &[usize],
    ) -> Self {
        let mut rows = Self { frames: Vec::new(), values: Kept::new(RAW, PIECE) };
        let (mut extractor, mut since) = (FeatureExtractor::new(), 0);
        let (mut now, mut values) = (vec![0.0; width], Vec::with_capacity(RAW));
        for (frame, bands) in bands.frames().enumerate() {
            if breaks.binary_search(&frame).is_ok() {
                (extractor, since) = (FeatureExtractor::new(), 0);
            }
            context(frame, &mut now);
            extractor.push(predictors, (&bands, &now));
            since += 1;
            if (frame + 1) % ROW == 0 {
                extractor.row(predictors, &mut values);
                if since >= WARM_UP {
                    rows.frames.push(frame);
                    rows.values.push(&values);
                }
            }
        }
        rows
    }

    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The number of the last frame of a row.
    pub(super) fn frame(&self, row: usize) -> usize {
        self.frames.get(row).copied().unwrap_or_default()
    }

    /// Writes the numbers `range` of a row to `out`.
    pub(super) fn read(&self, row: usize, range: Range<usize>, out: &mut Vec<f32>) {
        out.clear();
        out.resize(range.len(), 0.0);
        self.values.read(row, range, out);
    }

    /// The numbers `range` of each row that is `kept`.
    fn each(&self, range: Range<usize>, kept: &dyn Fn(usize) -> bool, take: &mut dyn FnMut(&[f32])) {
        let mut part = Vec::with_capacity(range.len());
        for row in (0..self.len()).filter(|&row| kept(row)) {
            self.read(row, range.clone(), &mut part);
            take(&part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::row_layout::LAG;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const WIDTH: usize = 5;
    const ALL: [Channel; 9] = [
        Channel::Brief,
        Channel::Short,
        Channel::Half,
        Channel::Level,
        Channel::Unexpected,
        Channel::Sudden,
        Channel::Departure,
        Channel::Slow,
        Channel::Spread,
    ];

    /// Bands that follow context 0 three frames later, each with another strength, and noise.
    fn place(frames: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut contexts, mut bands) = (Vec::new(), Vec::new());
        for u in 0..frames {
            contexts.extend((0..WIDTH).map(|_| rng.random_range(-1.0..1.0f32)));
            let reported = if u >= LAG { contexts[(u - LAG) * WIDTH] } else { 0.0 };
            bands.extend(
                (0..BANDS).map(|b| -6.0 + reported * (b % 3) as f32 + rng.random_range(-0.5..0.5f32)),
            );
        }
        (bands, contexts)
    }

    fn raw(site: &BackgroundModel, bands: &[f32], contexts: &[f32]) -> Vec<Vec<f32>> {
        let (mut extractor, mut out) = (FeatureExtractor::new(), Vec::new());
        for (i, frame) in bands.chunks_exact(BANDS).zip(contexts.chunks_exact(WIDTH)).enumerate() {
            site.push(frame, &mut extractor);
            if (i + 1) % ROW == 0 {
                let mut row = Vec::new();
                site.raw_row(&mut extractor, &mut row);
                out.push(row);
            }
        }
        out.split_off(20)
    }

    #[test]
    fn rows_are_in_the_units_of_the_site() {
        let (bands, contexts) = place(8000, 1);
        let site = BackgroundModel::fit(&bands, &contexts, WIDTH).unwrap();
        let (bands, contexts) = place(4000, 2);
        let rows: Vec<Vec<f32>> = raw(&site, &bands, &contexts)
            .iter()
            .map(|raw| {
                let mut row = Vec::new();
                site.row(&ALL, raw, &mut row);
                row
            })
            .collect();
        assert_eq!(rows[0].len(), 13 * BANDS + 4);
        // all but the slow plane, whose average hardly moves, and the spread, which is none
        for column in (0..11 * BANDS).step_by(37) {
            let values: Vec<f32> = rows.iter().map(|r| r[column]).collect();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let d = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt();
            assert!(mean.abs() < 0.4 && (0.4..1.6).contains(&d), "{column}: {mean} ± {d}");
        }
        let distance = rows.iter().map(|r| r[13 * BANDS]).sum::<f32>() / rows.len() as f32;
        assert!(distance.abs() < 0.4, "{distance}");
    }

    #[test]
    fn a_foreign_band_is_far_and_given_by_its_number() {
        let (mut bands, contexts) = place(8000, 3);
        let site = BackgroundModel::fit(&bands, &contexts, WIDTH).unwrap();
        bands.chunks_exact_mut(BANDS).skip(7900).for_each(|frame| frame[20] += 3.0);
        let rows = raw(&site, &bands, &contexts);
        let (before, after) = (site.distance(&rows[1500]), site.distance(rows.last().unwrap()));
        assert!(after > 2.0 * before, "{after} after {before}");
        let mut excess = Vec::new();
        site.band_excess(rows.last().unwrap(), &mut excess);
        let loudest = (0..BANDS).max_by(|&a, &b| excess[a].total_cmp(&excess[b])).unwrap();
        assert_eq!(loudest, 20);
    }

    #[test]
    fn a_short_calibration_is_refused_and_a_fit_is_whole() {
        let (bands, contexts) = place(1200, 4);
        assert!(BackgroundModel::fit(&bands[..500 * BANDS], &contexts, WIDTH).is_err());
        let site = BackgroundModel::fit(&bands, &contexts, WIDTH).unwrap();
        assert!(site.is_whole(WIDTH) && !site.is_whole(WIDTH + 1));
        let json = serde_json::to_string(&site).unwrap();
        assert_eq!(serde_json::from_str::<BackgroundModel>(&json).unwrap(), site);
    }
}
