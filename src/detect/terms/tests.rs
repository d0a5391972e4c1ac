//! The terms on machines with a rhythm and on noise.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::detect::band_predictors::BandPredictors;
use crate::detect::feature_rows::FeatureExtractor;
use crate::detect::row_layout::ROW;
use crate::units::{BANDS, HOP};

/// Frames from beat to beat.
const PERIOD: usize = 50;
/// Seconds of calibration.
const CALIBRATION_S: usize = 60;

/// Bands of a fan with a stroke every 0.5 s but where `missing` says so; `louder` is added from frame `from` on.
fn machine(
    frames: usize,
    seed: u64,
    strokes: bool,
    missing: &[usize],
    (from, louder): (usize, f32),
) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..frames)
        .flat_map(|frame| {
            let is_stroke = strokes && frame % PERIOD < 8 && !missing.contains(&(frame / PERIOD));
            let gain = if frame >= from { louder } else { 0.0 };
            (0..BANDS)
                .map(|band| {
                    let stroke = if is_stroke && (16..40).contains(&band) { 3.0 } else { 0.0 };
                    -6.0 + gain + stroke + rng.random_range(-0.5..0.5f32)
                })
                .collect::<Vec<f32>>()
        })
        .collect()
}

/// Moments of windows after a calibration, row by row.
struct Rows {
    predictors: BandPredictors,
    extractor: FeatureExtractor,
    raw: Vec<f32>,
}

impl Rows {
    fn after(calibration: &[f32]) -> Self {
        let predictors = BandPredictors::fit(calibration, &|_, context| context.fill(0.0), 1, &[]).unwrap();
        let mut rows = Self { predictors, extractor: FeatureExtractor::new(), raw: Vec::new() };
        let (frames, _) = calibration.as_chunks::<BANDS>();
        frames[frames.len() - 20 * ROW..].iter().for_each(|bands| rows.push(bands));
        rows
    }

    fn push(&mut self, bands: &[f32]) {
        self.extractor.push(&self.predictors, (bands, &[0.0]));
    }

    fn windows(&mut self) -> BandMoments<'_> {
        self.extractor.row(&self.predictors, &mut self.raw);
        BandMoments::of(&self.raw)
    }
}

/// −log10 p of each term, a row every 50 ms, of sound that follows the calibration.
fn surprisals(calibration: &[f32], after: &[f32]) -> (f64, Vec<Values>) {
    let fitted = fit(calibration, &KeptLines::new(ROW), &[], &|_| true).unwrap();
    assert!(fitted.model.is_whole());
    let rows = fitted.rows.iter().map(|row| &row.1);
    let combination = Combination::fit(&rows, fitted.model.predictability()).unwrap();
    assert!(combination.is_whole());
    let (mut state, mut adaptive, mut out) = (fitted.state, Adaptive::new(&fitted.model), Vec::new());
    let mut windows = Rows::after(calibration);
    for (frame, bands) in after.chunks_exact(BANDS).enumerate() {
        windows.push(bands);
        state.push(&fitted.model, &mut adaptive, bands);
        if (frame + 1).is_multiple_of(ROW) {
            out.push(combination.surprisals(&state.values(&adaptive, windows.windows(), None)));
            state.learn(&mut adaptive, None);
        }
    }
    (fitted.model.predictability(), out)
}

fn highest(rows: &[Values], term: Term, seconds: std::ops::Range<f64>) -> f64 {
    let at = Term::ALL.iter().position(|&t| t == term).unwrap();
    let range = (seconds.start * 20.0) as usize..(seconds.end * 20.0) as usize;
    rows[range].iter().filter_map(|row| row[at]).fold(0.0, f64::max)
}

#[test]
fn a_missing_stroke_is_found_by_context_at_once_after_a_short_calibration_too() {
    for seconds in [CALIBRATION_S, 25] {
        let calibration = machine(seconds * 100, 1, true, &[], (usize::MAX, 0.0));
        let after = machine(2000, 2, true, &[20], (usize::MAX, 0.0));
        let (predictability, rows) = surprisals(&calibration, &after);
        assert!(predictability > 0.2, "{predictability} after {seconds} s");
        for term in [Term::Residual4, Term::Residual8] {
            let (before, missing) = (highest(&rows, term, 5.0..9.9), highest(&rows, term, 10.0..10.4));
            let found = missing > before + 1.0 && missing > 4.0;
            assert!(found, "{term:?} after {seconds} s: {missing} after {before}");
        }
    }
}

#[test]
fn noise_has_nothing_that_context_predicts() {
    let calibration = machine(CALIBRATION_S * 100, 3, false, &[], (usize::MAX, 0.0));
    let after = machine(3000, 4, false, &[], (usize::MAX, 0.0));
    let (predictability, rows) = surprisals(&calibration, &after);
    assert!(predictability < 0.03, "{predictability}");
    for term in Term::ALL {
        let typical = highest(&rows, term, 10.0..30.0);
        assert!(typical < 6.0, "{term:?}: {typical} at the highest of 400 normal rows");
    }
}

#[test]
fn a_sound_in_one_band_is_far_by_density_and_a_louder_machine_is_near_again_once_followed() {
    let calibration = machine(CALIBRATION_S * 100, 5, false, &[], (usize::MAX, 0.0));
    let mut after = machine(1200, 6, false, &[], (usize::MAX, 0.0));
    after.chunks_exact_mut(BANDS).skip(1000).for_each(|frame| frame[30] += 2.0);
    let (_, rows) = surprisals(&calibration, &after);
    assert!(highest(&rows, Term::DensityHalf, 10.3..10.6) > 8.0);

    let fitted = fit(&calibration, &KeptLines::new(ROW), &[], &|_| true).unwrap();
    let louder = machine(1000, 7, false, &[], (500, 1.4));
    let distances = |follow: bool| {
        let (mut state, mut windows) = (fitted.state.clone(), Rows::after(&calibration));
        let mut last = 0.0;
        for (frame, bands) in louder.chunks_exact(BANDS).enumerate() {
            windows.push(bands);
            state.push_with(&fitted.model, None, bands);
            if follow && frame == 520 {
                state.follow_gain(bands);
            }
            if (frame + 1).is_multiple_of(ROW) {
                let values = state.values_with(&fitted.model.densities, windows.windows(), None);
                if frame == 599 {
                    last = values[0].unwrap();
                }
            }
        }
        last
    };
    let (followed, left) = (distances(true), distances(false));
    assert!(followed < 2.0 && left > followed, "{followed} once followed, {left} else");
}

#[test]
fn a_break_starts_the_windows_anew_and_a_short_calibration_has_no_context() {
    let calibration = machine(1500, 8, true, &[], (usize::MAX, 0.0));
    let fitted = fit(&calibration, &KeptLines::new(ROW), &[700], &|_| true).unwrap();
    assert_eq!(fitted.model.predictability(), 0.0);
    assert!(fitted.rows.iter().all(|row| row.1[4..].iter().all(Option::is_none)));
    assert!(fitted.rows.iter().all(|row| row.0 < 700 || row.0 >= 799));
    let json = serde_json::to_string(&fitted.model).unwrap();
    assert_eq!(serde_json::from_str::<TermModel>(&json).unwrap(), fitted.model);
}

/// A microphone's noise with three tones of this amplitude each.
fn hop(rng: &mut ChaCha8Rng, frame: usize, amplitude: f32) -> Vec<f32> {
    let turn = |i: usize, tone: usize| ((frame * HOP + i) * tone % 16) as f32 / 16.0 * std::f32::consts::TAU;
    (0..HOP)
        .map(|i| {
            amplitude * (1..4).map(|tone| turn(i, tone).sin()).sum::<f32>() + rng.random_range(-0.1..0.1f32)
        })
        .collect()
}

#[test]
fn faint_tones_are_far_by_fine_structure() {
    let calibration = machine(CALIBRATION_S * 100, 9, false, &[], (usize::MAX, 0.0));
    let after = machine(2000, 10, false, &[], (usize::MAX, 0.0));
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut lines = KeptLines::new(ROW);
    for frame in 0..CALIBRATION_S * 100 {
        lines.push(&hop(&mut rng, frame, 0.0), true);
        lines.keep(frame + 1);
    }
    let fitted = fit(&calibration, &lines, &[], &|_| true).unwrap();
    let combination = Combination::fit(&fitted.rows.iter().map(|row| &row.1), 0.0).unwrap();
    let (mut state, mut adaptive) = (fitted.state, Adaptive::new(&fitted.model));
    let (mut structure, mut windows, mut rows) =
        (FineStructure::new(), Rows::after(&calibration), Vec::new());
    for (frame, bands) in after.chunks_exact(BANDS).enumerate() {
        windows.push(bands);
        state.push(&fitted.model, &mut adaptive, bands);
        // 4 dB below the noise each
        structure.push(&hop(&mut rng, frame, if frame < 1000 { 0.0 } else { 0.05 }));
        if (frame + 1).is_multiple_of(ROW) {
            let lines = structure.row();
            let lines = lines.as_ref().map(<[i8; _]>::as_slice);
            rows.push(combination.surprisals(&state.values(&adaptive, windows.windows(), lines)));
            state.learn(&mut adaptive, lines);
        }
    }
    assert!(highest(&rows, Term::FineStructure, 0.5..10.0) < 4.0);
    assert!(highest(&rows, Term::FineStructure, 10.1..12.0) > 6.0);
}
