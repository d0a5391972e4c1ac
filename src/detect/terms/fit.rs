//! Fits the terms to a calibration.

use super::Values;
use super::context_fit;
use super::density::Density;
use super::fine_structure::{FineDensity, FineSums};
use super::groups::powers;
use super::kept_lines::KeptLines;
use super::model::TermModel;
use super::row_moments::{DENSITIES, FORMS};
use super::state::{BandMoments, Features, TermState};
use crate::detect::band_predictors::{BandHistory, TREND};
use crate::detect::kept::Bands;
use crate::detect::linear_predictor::LinearPredictor;
use crate::detect::row_layout::{LAG, ROW};
use crate::detect::windows::{BandWindows, HALF_FRAMES, QUARTER_FRAMES, WindowMoments};
use crate::error::Result;
use crate::units::BANDS;

/// Pieces of time for cross-fitting.
const FOLDS: usize = 5;
/// Most frames that the short prediction is fitted to.
const MOST: usize = 6000;
/// Frames after a break that are not learnt from.
const SETTLING: usize = 100;

/// Terms that are fitted to a calibration.
pub(in crate::detect) struct Calibrated {
    pub(in crate::detect) model: TermModel,
    /// The number of the last frame of each settled row, and its values under a fit that has not seen its fifth of the time.
    pub(in crate::detect) rows: Vec<(usize, Values)>,
    /// What is remembered after the last frame.
    pub(in crate::detect) state: TermState,
}

/// Fits the terms to the log-mel `bands` of consecutive frames and the `lines` of each row of them; at each of `breaks` (ascending) the
/// sound begins anew. Frames that are not `fine` enter no covariance.
///
/// # Errors
/// When there is too little sound.
pub(in crate::detect) fn fit(
    bands: &(impl Bands + ?Sized),
    lines: &KeptLines,
    breaks: &[usize],
    fine: &dyn Fn(usize) -> bool,
) -> Result<Calibrated> {
    let n = bands.count();
    // the predictions of a row are made together
    let fold_of = |frame: usize| (frame / ROW * ROW * FOLDS / n.max(1)).min(FOLDS - 1);
    let level = mean_bands(bands, fine);
    let sampled = Sampled::of(bands, breaks);
    let predictors = (0..FOLDS).map(|fold| sampled.fit(|frame| fold_of(frame) != fold));
    let predictors = predictors.collect::<Result<Vec<_>>>()?;
    drop(sampled);

    let rows = feature_rows(bands, &level, breaks, &|frame| &predictors[fold_of(frame)]);
    let densities = |left_out: Option<usize>| -> Result<[Density; DENSITIES]> {
        let kept = || rows.iter().filter(|r| fine(r.0) && Some(fold_of(r.0)) != left_out).map(|r| &r.1);
        let of = |part: fn(&Features) -> &[f32], form| {
            Density::fit_rows(&|take| kept().map(&part).for_each(&mut *take), form)
        };
        let [half, quarter, short, modulation] = FORMS;
        Ok([
            of(|f| &f.half, half)?,
            of(|f| &f.quarter, quarter)?,
            of(|f| &f.short, short)?,
            of(|f| &f.modulation, modulation)?,
        ])
    };
    let mut sums = vec![FineSums::new(); FOLDS];
    for (frame, _) in rows.iter().filter(|row| fine(row.0)) {
        if let Some((sums, row)) = sums.get_mut(fold_of(*frame)).zip(lines.row(*frame)) {
            sums.add(row);
        }
    }
    let all_lines = FineSums::of_all(&sums);
    let group_powers: Vec<_> = bands.frames().map(|bands| powers(&bands)).collect();
    let context = |step| context_fit::fit(step, &group_powers, &powers(&level), breaks, FOLDS, &fold_of);
    let (mut of_folds, of_all) = match (context(4)?, context(8)?) {
        (Some((a, all_a)), Some((b, all_b))) => {
            (a.into_iter().zip(b).map(|(a, b)| Some([a, b])).collect(), Some([all_a, all_b]))
        }
        _ => (vec![None; FOLDS], None),
    };
    drop(group_powers);
    let assemble = |densities, lines: &FineSums, contexts| TermModel {
        level: level.clone(),
        densities,
        lines: FineDensity::of(lines),
        contexts,
    };
    let models = sums.iter().enumerate().map(|(fold, sums)| {
        let contexts = of_folds.get_mut(fold).and_then(Option::take);
        Ok(assemble(densities(Some(fold))?, &all_lines.without(sums), contexts))
    });
    let models = models.collect::<Result<Vec<_>>>()?;
    let model = assemble(densities(None)?, &all_lines, of_all);
    drop(rows);

    let (mut state, mut windows, mut since) = (TermState::new(), BandWindows::new(), 0);
    let mut rows = Vec::with_capacity(n / ROW);
    for (frame, bands) in bands.frames().enumerate() {
        if breaks.binary_search(&frame).is_ok() {
            (state, windows, since) = (TermState::new(), BandWindows::new(), 0);
        }
        let (unaware, predictor) = (&models[fold_of(frame)], &predictors[fold_of(frame)]);
        windows.push(predictor, &bands);
        state.push_with(unaware, unaware.contexts.as_ref().map(<[_; 2]>::each_ref), &bands);
        since += 1;
        if (frame + 1).is_multiple_of(ROW) {
            let lines = lines.row(frame).map(|row| (&unaware.lines, row));
            let moments = row_moments(&mut windows, predictor);
            let values = state.values_with(&unaware.densities, windows_of(&moments), lines);
            if since >= SETTLING {
                rows.push((frame, values));
            }
        }
    }
    Ok(Calibrated { model, rows, state })
}

/// The mean of each band over the frames that are fine.
fn mean_bands(bands: &(impl Bands + ?Sized), fine: &dyn Fn(usize) -> bool) -> Vec<f32> {
    let (mut sums, mut count) = ([0f64; BANDS], 0u32);
    for (_, bands) in bands.frames().enumerate().filter(|(frame, _)| fine(*frame)) {
        sums.iter_mut().zip(&bands).for_each(|(sum, x)| *sum += f64::from(*x));
        count += 1;
    }
    sums.iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect()
}

/// The features of each settled row, with the number of its last frame.
fn feature_rows<'a>(
    bands: &(impl Bands + ?Sized),
    level: &[f32],
    breaks: &[usize],
    predictor: &dyn Fn(usize) -> &'a LinearPredictor,
) -> Vec<(usize, Features)> {
    let (mut state, mut windows, mut since) = (TermState::new(), BandWindows::new(), 0);
    let mut rows = Vec::new();
    for (frame, bands) in bands.frames().enumerate() {
        if breaks.binary_search(&frame).is_ok() {
            (state, windows, since) = (TermState::new(), BandWindows::new(), 0);
        }
        if since == 0 {
            state.start(level);
        }
        windows.push(predictor(frame), &bands);
        state.push_envelopes(&bands);
        since += 1;
        if (frame + 1).is_multiple_of(ROW) {
            let moments = row_moments(&mut windows, predictor(frame));
            let features = state.update_features(windows_of(&moments));
            if since >= SETTLING {
                rows.push((frame, features.clone()));
            }
        }
    }
    rows
}

/// Moments over 0.5 s, 0.25 s, and over 0.5 s of what `predictor` leaves.
fn row_moments(windows: &mut BandWindows, predictor: &LinearPredictor) -> [WindowMoments; 3] {
    let errors = windows.departure(predictor);
    [windows.bands().moments(HALF_FRAMES), windows.bands().moments(QUARTER_FRAMES), errors]
}

fn windows_of(moments: &[WindowMoments; 3]) -> BandMoments<'_> {
    let [half, quarter, errors] = moments.each_ref().map(|moments| moments.as_flattened());
    BandMoments { half, quarter, errors }
}

/// Frames that the short prediction is fitted to.
struct Sampled {
    frames: Vec<usize>,
    /// `[n, 192]` and `[n, 64]`.
    trends: Vec<f32>,
    bands: Vec<f32>,
}

impl Sampled {
    fn of(bands: &(impl Bands + ?Sized), breaks: &[usize]) -> Self {
        let every = (bands.count() / MOST).max(1);
        let mut sampled = Self { frames: Vec::new(), trends: Vec::new(), bands: Vec::new() };
        let (mut trend, mut since) = (BandHistory::new(), 0);
        let mut before = [[0.0; TREND]; LAG];
        for (frame, bands) in bands.frames().enumerate() {
            if breaks.binary_search(&frame).is_ok() {
                (trend, since) = (BandHistory::new(), 0);
            }
            let at = frame % LAG;
            if since >= SETTLING && frame.is_multiple_of(every) {
                sampled.frames.push(frame);
                sampled.trends.extend(before[at]);
                sampled.bands.extend(bands);
            }
            before[at] = trend.push(&bands);
            since += 1;
        }
        sampled
    }

    /// Of the frames that are `kept`.
    fn fit(&self, kept: impl Fn(usize) -> bool) -> Result<LinearPredictor> {
        let pairs = |take: &mut dyn FnMut(&[f32], &[f32])| {
            let rows = self.trends.chunks_exact(TREND).zip(self.bands.chunks_exact(BANDS));
            let kept = self.frames.iter().zip(rows).filter(|(frame, _)| kept(**frame));
            kept.for_each(|(_, (trend, bands))| take(trend, bands));
        };
        if self.frames.iter().filter(|frame| kept(**frame)).count() < 2 {
            return Err(crate::detect::row_layout::too_short(0));
        }
        LinearPredictor::fit(&pairs, TREND)
    }
}
