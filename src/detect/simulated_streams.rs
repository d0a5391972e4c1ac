//! The detector on simulated streams: AR(1) noise in place of a model's frames, with planted changes.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::robustness_tests::one_event;
use super::{Calibration, DetectConfig, Detector, DetectorModel, DetectorState, Input, Quality};
use crate::event::{Evidence, Finding, Phase, Tier};
use crate::frame::{Frame, FrameShape};

const SHAPE: FrameShape = FrameShape { horizons: 6, latent: 4, context: 4 };
const MODEL: &str = "0123456789ab";

pub(super) fn config() -> DetectConfig {
    DetectConfig { calibrate_seconds: 60.0, ..Default::default() }
}

/// What bands are mixed of.
const TONES: usize = 16;

pub(super) fn detector_model() -> DetectorModel {
    DetectorModel::new(SHAPE, MODEL, None).unwrap()
}

/// Log-mel bands, a quarter of which rise with z.
fn bands(tones: &[f32], z: f32) -> Vec<f32> {
    let of = |b: usize| -6.0 + 0.5 * (tones[b % TONES] + tones[b / 4]);
    (0..64).map(|b| of(b) + if (8..24).contains(&b) { 0.5 * z } else { 0.0 }).collect()
}

/// Frames of stationary noise with unit variance and a correlation of 0.9 from frame to frame.
pub(super) struct Noise {
    rng: ChaCha8Rng,
    pub(super) index: u64,
    state: Vec<f32>,
}

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        let width = SHAPE.horizons + SHAPE.latent + SHAPE.context + TONES;
        Self { rng: ChaCha8Rng::seed_from_u64(seed), index: 0, state: vec![0.0; width] }
    }

    /// The next frame, `pmi` nats less predictable and with z moved by `z`.
    pub(super) fn next(&mut self, pmi: f32, z: f32) -> Frame {
        for x in &mut self.state {
            let normal = (0..4).map(|_| self.rng.random::<f32>() - 0.5).sum::<f32>() * 3f32.sqrt();
            *x = 0.9 * *x + 0.19f32.sqrt() * normal;
        }
        let (p, rest) = self.state.split_at(SHAPE.horizons);
        let (latent, rest) = rest.split_at(SHAPE.latent);
        let (context, tones) = rest.split_at(SHAPE.context);
        let frame = Frame {
            index: self.index,
            pmi: (0..).zip(p).map(|(k, x)| if self.index <= k { f32::NAN } else { 2.0 + x - pmi }).collect(),
            z: latent.iter().map(|x| x + z).collect(),
            c: context.to_vec(),
            bands: bands(tones, z),
            level_dbfs: -40.0 + self.state[0],
            ..Frame::default()
        };
        self.index += 1;
        frame
    }

    pub(super) fn frames(&mut self, n: usize) -> Vec<Frame> {
        (0..n).map(|_| self.next(0.0, 0.0)).collect()
    }

    pub(super) fn event(&mut self, n: usize, pmi: f32, z: f32) -> Vec<Frame> {
        (0..n).map(|_| self.next(pmi, z)).collect()
    }
}

pub(super) fn hear(detector: &mut Detector, frames: &[Frame]) -> Vec<Finding> {
    let mut out = Vec::new();
    for frame in frames {
        let reading = detector.push(frame, Input::GOOD, &mut out);
        assert!(reading.p.is_none_or(|p| (1e-12..=1.0).contains(&p)));
        assert!(reading.novelty.is_none_or(f64::is_finite) && reading.surprise.is_none_or(f64::is_finite));
    }
    out
}

/// A detector that has calibrated on `noise` (61 s of it).
pub(super) fn calibrated(noise: &mut Noise, config: &DetectConfig) -> Detector {
    let mut detector = Detector::new(config, detector_model()).unwrap();
    let seconds = config.calibrate_seconds as usize;
    assert_eq!(hear(&mut detector, &noise.frames(seconds * 100 + 99)), []);
    assert!(detector.state().done().is_some_and(|done| done > 0.99 && done < 1.0));
    assert_eq!(hear(&mut detector, &noise.frames(1)), []);
    assert_eq!(detector.state(), DetectorState::Watching);
    detector
}

#[test]
fn planted_changes_are_found_where_they_are() {
    let mut noise = Noise::new(1);
    let mut detector = calibrated(&mut noise, &config());
    for (pmi, z, evidence, tolerance) in [
        (8.0, 0.0, Evidence::Surprise, 6),
        (0.0, 6.0, Evidence::Novelty, 30),
        (8.0, 6.0, Evidence::Surprise, 6),
    ] {
        assert_eq!(hear(&mut detector, &noise.frames(500)), []);
        let start = noise.index;
        let mut found = hear(&mut detector, &noise.event(100, pmi, z));
        found.extend(hear(&mut detector, &noise.frames(300)));
        let (new, end) = one_event(&found);
        let onset = new.onset_sample / 160;
        assert!(onset.abs_diff(start) <= tolerance, "{onset} for {start}");
        assert!(new.emitted_s - new.onset_s < 0.35);
        assert_eq!(new.onset_s, new.onset_sample as f64 / 16000.0);
        let offset = end.offset_sample.unwrap() / 160;
        assert!(offset >= start + 98 && offset <= start + 165, "{offset} for {}", start + 100);
        assert!(end.peak_s >= end.onset_s && end.peak_s <= end.offset_s.unwrap());
        assert!(end.score >= new.score && end.score >= end.score_mean && end.score_mean > 1.0);
        assert!((end.score + end.p.log10()).abs() < 1e-9);
        assert_eq!((end.tier, new.offset_sample), (Tier::Severe, None));
        if pmi == 0.0 || z == 0.0 {
            assert_eq!(end.evidence, evidence);
        }
        assert_eq!(end.surprise_per_k.len(), 6);
        assert!((end.background_dbfs + 40.0).abs() < 0.5);
        assert_eq!(end.calibration, detector.calibration().unwrap().id());
    }
    assert_eq!(detector.number_of_events(), 3);
}

#[test]
fn stationary_noise_keeps_the_budget() {
    let config = DetectConfig { events_per_hour: 6.0, calibrate_seconds: 300.0, ..Default::default() };
    let (seeds, hours) = (4, 1);
    let events: usize = (0..seeds)
        .map(|seed| {
            let mut noise = Noise::new(100 + seed);
            let mut detector = calibrated(&mut noise, &config);
            let mut out = Vec::new();
            for _ in 0..hours * 360_000 {
                detector.push(&noise.next(0.0, 0.0), Input::GOOD, &mut out);
            }
            out.iter().filter(|f| f.phase == Phase::New).count()
        })
        .sum();
    let rate = events as f64 / f64::from(seeds as u32 * hours);
    assert!(rate < 18.0, "{rate} events an hour for a budget of 6");
}

#[test]
fn findings_do_not_depend_on_how_frames_were_grouped_or_when_the_detector_was_saved() {
    let stream = || {
        let mut noise = Noise::new(3);
        let mut frames = noise.frames(6300);
        frames.extend(noise.event(50, 9.0, 4.0));
        frames.extend(noise.frames(300));
        frames.extend(noise.event(7, 9.0, 0.0));
        frames.extend(noise.frames(300));
        frames
    };
    let frames = stream();
    let mut whole = Detector::new(&config(), detector_model()).unwrap();
    let expected = hear(&mut whole, &frames);
    assert_eq!(expected.iter().filter(|finding| finding.phase == Phase::New).count(), 2, "{expected:?}");
    for cut in [1, 7, 100, 6310] {
        let mut detector = Detector::new(&config(), detector_model()).unwrap();
        let mut out = Vec::new();
        for piece in frames.chunks(cut) {
            detector = detector.clone();
            out.extend(hear(&mut detector, piece));
        }
        assert_eq!(out, expected);
    }
}

#[test]
fn a_stored_calibration_gives_the_same_readings_bit_for_bit() {
    let mut noise = Noise::new(4);
    let mut detector = calibrated(&mut noise, &config());
    let known = detector.calibration().unwrap().clone();
    let json = serde_json::to_string(&known).unwrap();
    let stored: Calibration = serde_json::from_str(&json).unwrap();
    assert_eq!(stored, known);
    assert_eq!((stored.id(), known.id().len()), (known.id(), 8));

    let mut restored = Detector::with_calibration(&config(), detector_model(), stored).unwrap();
    assert_eq!(restored.state(), DetectorState::Watching);
    let mut out = Vec::new();
    detector.gap(&mut out);
    for frame in noise.frames(300).iter().chain(&noise.event(30, 9.0, 3.0)) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        assert_eq!(detector.push(frame, Input::GOOD, &mut a), restored.push(frame, Input::GOOD, &mut b));
        assert_eq!(a, b);
    }
}

#[test]
fn a_calibration_that_does_not_fit_is_refused_with_its_reason() {
    let known = calibrated(&mut Noise::new(5), &config()).calibration().unwrap().clone();
    let refusal = |config: &DetectConfig, shape, model: &str, known: &Calibration| {
        let detector_model = DetectorModel::new(shape, model, None).unwrap();
        let error = Detector::with_calibration(config, detector_model, known.clone()).unwrap_err();
        format!("{error}; {}", error.fix())
    };
    assert!(refusal(&config(), SHAPE, "ffff", &known).contains("model 0123456789ab"));
    let wider = FrameShape { latent: 5, ..SHAPE };
    assert!(refusal(&config(), wider, MODEL, &known).contains("latent: 5"));
    let skipping = DetectConfig { skip_k: 3, ..config() };
    assert!(refusal(&skipping, SHAPE, MODEL, &known).contains("skip_k"));
    let smoothing = DetectConfig { surprise_window_ms: 300.0, ..config() };
    assert!(refusal(&smoothing, SHAPE, MODEL, &known).contains("window"));
    for part in ["/site/half/mean", "/surprise/median", "/novelty_tail/maxima"] {
        let mut json = serde_json::to_value(&known).unwrap();
        json.pointer_mut(part).unwrap().as_array_mut().unwrap().clear();
        let damaged: Calibration = serde_json::from_value(json).unwrap();
        assert!(refusal(&config(), SHAPE, MODEL, &damaged).contains("damaged"), "{part}");
    }
    assert!(Detector::new(&DetectConfig { skip_k: 6, ..config() }, detector_model()).is_err());
}

#[test]
fn events_during_calibration_do_not_blind_it() {
    let mut noise = Noise::new(6);
    let config = DetectConfig { calibrate_seconds: 120.0, repeat_after_s: 0.0, ..Default::default() };
    let mut detector = Detector::new(&config, detector_model()).unwrap();
    let mut out = Vec::new();
    while detector.state() != DetectorState::Watching {
        let eventful = noise.index % 2000 > 1900;
        let (pmi, z) = if eventful { (9.0, 6.0) } else { (0.0, 0.0) };
        detector.push(&noise.next(pmi, z), Input::GOOD, &mut out);
    }
    hear(&mut detector, &noise.frames(500));
    for (pmi, z) in [(0.0, 8.0), (9.0, 6.0)] {
        let found = hear(&mut detector, &[noise.event(100, pmi, z), noise.frames(300)].concat());
        one_event(&found);
    }
}

#[test]
fn a_gap_ends_an_event_at_the_last_frame_before_it() {
    let mut noise = Noise::new(7);
    let mut detector = calibrated(&mut noise, &config());
    let found = hear(&mut detector, &noise.event(20, 12.0, 8.0));
    assert_eq!((found[0].phase, detector.in_event()), (Phase::New, true));
    assert!(found[1..].iter().all(|finding| finding.phase == Phase::Update), "{found:?}");
    let last = noise.index - 1;
    noise.index += 40;
    let mut out = Vec::new();
    let reading = detector.push(&noise.next(12.0, 8.0), Input::GOOD, &mut out);
    assert_eq!((reading.quality, reading.p, detector.in_event()), (Quality::Settling, None, false));
    assert_eq!((out.len(), out[0].phase), (1, Phase::End));
    assert_eq!(out[0].offset_sample, Some((last + 1) * 160));
    assert_eq!(out[0].emitted_s, (last + 1) as f64 / 100.0);
    assert_eq!(hear(&mut detector, &noise.event(99, 12.0, 8.0)), []);
    assert_eq!(hear(&mut detector, &noise.event(5, 12.0, 8.0)).len(), 1);
    let mut end = Vec::new();
    detector.finish(&mut end);
    assert_eq!((end.len(), end[0].phase, end[0].number), (1, Phase::End, 1));
}

#[test]
fn broken_frames_are_counted_and_change_nothing_that_is_known() {
    let spoil: [fn(&mut Frame); 6] = [
        |f| f.z[1] = f32::NAN,
        |f| f.c[0] = f32::INFINITY,
        |f| f.pmi[3] = f32::NAN,
        |f| f.pmi[0] = f32::NEG_INFINITY,
        |f| f.z[2] = 3e38,
        |f| f.z.truncate(2),
    ];
    let mut noise = Noise::new(8);
    let mut detector = Detector::new(&config(), detector_model()).unwrap();
    let mut out = Vec::new();
    while detector.state() != DetectorState::Watching {
        let mut frame = noise.next(0.0, 0.0);
        if frame.index % 500 == 250 {
            spoil[frame.index as usize / 500 % spoil.len()](&mut frame);
            assert_eq!(detector.push(&frame, Input::GOOD, &mut out).quality, Quality::Invalid);
        } else {
            detector.push(&frame, Input::GOOD, &mut out);
        }
    }
    assert!(detector.counts().invalid >= 14);
    let id = detector.calibration().unwrap().id();
    for spoil in spoil {
        out.extend(hear(&mut detector, &noise.frames(200)));
        let mut frame = noise.next(0.0, 0.0);
        spoil(&mut frame);
        out.extend(hear(&mut detector, &[frame]));
    }
    assert_eq!((out.len(), detector.calibration().unwrap().id()), (0, id));
    hear(&mut detector, &noise.frames(200));
    assert!(!hear(&mut detector, &noise.event(30, 9.0, 6.0)).is_empty());
}

#[test]
fn a_dead_microphone_is_no_storm_of_events() {
    let silence = |noise: &mut Noise, n| -> Vec<Frame> {
        let mute = |mut frame: Frame| {
            frame.level_dbfs = -120.0;
            frame
        };
        noise.event(n, 20.0, 20.0).into_iter().map(mute).collect()
    };
    let mut noise = Noise::new(9);
    let mut detector = Detector::new(&config(), detector_model()).unwrap();
    assert_eq!(hear(&mut detector, &silence(&mut noise, 9000)), []);
    assert_eq!(detector.state(), DetectorState::Calibrating { done: 0.0 });

    let mut detector = calibrated(&mut noise, &config());
    let mut out = hear(&mut detector, &noise.frames(300));
    out.extend(hear(&mut detector, &silence(&mut noise, 8)));
    out.extend(hear(&mut detector, &noise.frames(5)));
    out.extend(hear(&mut detector, &silence(&mut noise, 2000)));
    let reading = detector.push(&silence(&mut noise, 1)[0], Input::GOOD, &mut out);
    assert_eq!((reading.quality, reading.p), (Quality::Silent, None));
    assert_eq!(detector.push(&noise.next(9.0, 9.0), Input::GOOD, &mut out).quality, Quality::Settling);
    out.extend(hear(&mut detector, &noise.frames(500)));
    assert_eq!(out, []);

    assert_eq!(hear(&mut detector, &noise.event(20, 12.0, 8.0)).len(), 1);
    let end = noise.index;
    let found = hear(&mut detector, &silence(&mut noise, 11));
    assert_eq!((found.len(), found[0].offset_sample), (1, Some(end * 160)));
}

#[derive(Debug, Clone)]
enum Act {
    Normal(usize),
    Event(usize, f32, f32),
    Silence(usize),
    Spoiled,
    Lost(u64),
    Gap,
    Budget(f64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..150usize).prop_map(Act::Normal),
        4 => (1..80usize, 0.0..15f32, 0.0..9f32).prop_map(|(n, pmi, z)| Act::Event(n, pmi, z)),
        1 => (1..30usize).prop_map(Act::Silence),
        1 => Just(Act::Spoiled),
        1 => (1..400u64).prop_map(Act::Lost),
        1 => Just(Act::Gap),
        1 => (0.01..3600f64).prop_map(Act::Budget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_events_are_well_formed(acts in prop::collection::vec(act(), 1..25)) {
        let mut noise = Noise::new(13);
        let config = DetectConfig { calibrate_seconds: 10.0, settle_ms: 200.0, ..Default::default() };
        let mut detector = Detector::new(&config, detector_model()).unwrap();
        let mut out = hear(&mut detector, &noise.frames(1020));
        prop_assert_eq!(detector.state(), DetectorState::Watching);
        for act in acts {
            match act {
                Act::Normal(n) => out.extend(hear(&mut detector, &noise.frames(n))),
                Act::Event(n, pmi, z) => out.extend(hear(&mut detector, &noise.event(n, pmi, z))),
                Act::Silence(n) => {
                    let mut frames = noise.event(n, 9.0, 9.0);
                    frames.iter_mut().for_each(|f| f.level_dbfs = -120.0);
                    out.extend(hear(&mut detector, &frames));
                }
                Act::Spoiled => {
                    let mut frame = noise.next(0.0, 0.0);
                    frame.z[0] = f32::NAN;
                    out.extend(hear(&mut detector, &[frame]));
                }
                Act::Lost(n) => noise.index += n,
                Act::Gap => detector.gap(&mut out),
                Act::Budget(rate) => detector.set_events_per_hour(rate).unwrap(),
            }
        }
        detector.finish(&mut out);
        prop_assert!(!detector.in_event());
        // between the two an event can become severe
        let became = |f: &[Finding]| (f[0].phase, f[0].number, f[0].tier) == (Phase::New, f[1].number, Tier::Alarm);
        prop_assert!(out.windows(2).all(|f| f[1].phase != Phase::Update || became(f) && f[1].tier == Tier::Severe));
        out.retain(|finding| finding.phase != Phase::Update);
        prop_assert_eq!(out.len() % 2, 0);
        let mut end_of_last = 0;
        for (number, [new, end]) in (0..).zip(out.as_chunks().0) {
            prop_assert_eq!((new.phase, end.phase), (Phase::New, Phase::End));
            prop_assert_eq!((new.number, end.number), (number, number));
            prop_assert_eq!((new.onset_sample, Some(new.emitted_s)), (end.onset_sample, end.reported_s));
            let offset = end.offset_sample.unwrap();
            prop_assert!(end_of_last <= new.onset_sample && new.onset_sample < offset);
            prop_assert!(offset <= noise.index * 160);
            prop_assert!(new.emitted_s > new.onset_s && end.emitted_s >= end.offset_s.unwrap());
            prop_assert!(end.p <= new.p && end.score >= end.score_mean && end.score.is_finite());
            let json = serde_json::to_string(end).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Finding>(&json).unwrap(), end);
            end_of_last = offset;
        }
    }
}
