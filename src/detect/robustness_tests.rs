//! The detector on simulated streams over bad inputs, restarts and changes of the site.

use super::simulated_streams::{Noise, calibrated, config, detector_model, hear};
use super::{Calibration, DetectConfig, Detector, DetectorState, Input, InputState, Quality, StreamState};
use crate::event::{Finding, Phase, Verdict};

fn of(state: InputState) -> Input {
    Input { state, empty: false }
}

#[test]
fn what_the_input_spoils_is_not_judged() {
    let mut noise = Noise::new(40);
    let mut detector = calibrated(&mut noise, &config());
    hear(&mut detector, &noise.frames(300));
    for (state, quality) in [
        (InputState::Silent, Quality::Silent),
        (InputState::Stuck, Quality::Stuck),
        (InputState::Invalid, Quality::Invalid),
    ] {
        let mut out = Vec::new();
        for frame in noise.event(300, 15.0, 15.0) {
            let reading = detector.push(&frame, of(state), &mut out);
            assert_eq!((reading.quality, reading.p, reading.input), (quality, None, state));
        }
        for frame in noise.event(100, 15.0, 15.0) {
            assert_eq!(detector.push(&frame, Input::GOOD, &mut out).quality, Quality::Settling);
        }
        assert_eq!(detector.push(&noise.next(0.0, 0.0), Input::GOOD, &mut out).quality, Quality::Good);
        hear(&mut detector, &noise.frames(300));
        assert_eq!(out, []);
    }
    let mut out = Vec::new();
    for frame in noise.event(300, 15.0, 15.0) {
        detector.push(&frame, of(InputState::Clipping), &mut out);
    }
    assert_eq!(out.len(), 1, "clipped sound is still sound");
}

#[test]
fn a_loose_contact_is_no_storm() {
    let mut noise = Noise::new(41);
    let mut detector = calibrated(&mut noise, &config());
    let mut out = Vec::new();
    for _ in 0..60 {
        out.extend(hear(&mut detector, &noise.frames(250)));
        for (i, frame) in noise.event(160, 15.0, 15.0).iter().enumerate() {
            // as the monitor has it: 0.1 s until a constant is a state, 1 s until it is none
            let state = if i >= 10 { InputState::Stuck } else { InputState::Good };
            detector.push(frame, Input { state, empty: i < 60 }, &mut out);
        }
    }
    assert_eq!(out, []);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut noise = Noise::new(42);
    let mut detector = calibrated(&mut noise, &config());
    hear(&mut detector, &noise.frames(300));
    for _ in 0..4 {
        hear(&mut detector, &noise.event(10, 12.0, 0.0));
        hear(&mut detector, &noise.frames(300));
    }
    let mut out = Vec::new();
    detector.finish(&mut out);
    let state = detector.snapshot().unwrap();
    let json = serde_json::to_vec(&state).unwrap();
    let stored = StreamState::from_json(&json).unwrap();
    assert!(stored == state, "the state is not what was stored");
    let mut again = Detector::with_state(&config(), &detector_model(), stored).unwrap();
    assert_eq!((again.state(), again.threshold()), (DetectorState::Watching, detector.threshold()));
    let frames = [noise.frames(300), noise.event(30, 12.0, 6.0), noise.frames(9000)].concat();
    let (a, b) = (hear(&mut detector, &frames), hear(&mut again, &frames));
    assert_eq!(a, b);
    one_event(&a);
    assert_eq!(again.threshold(), detector.threshold());
}

#[test]
fn older_and_damaged_files_are_read_as_far_as_they_go() {
    let mut noise = Noise::new(43);
    let detector = calibrated(&mut noise, &config());
    let known: &Calibration = detector.calibration().unwrap();
    let old = serde_json::to_vec(known).unwrap();
    assert_eq!(StreamState::from_json(&old).unwrap(), known.clone().into());
    assert!(StreamState::from_json(b"{}").is_err() && StreamState::from_json(b"").is_err());

    let state = detector.snapshot().unwrap();
    let mut json = serde_json::to_value(&state).unwrap();
    json["watch"]["learnt"]["controller"]["offset"] = 99.0.into();
    json["watch"]["number"] = 17.into();
    let damaged = StreamState::from_json(json.to_string().as_bytes()).unwrap();
    let restored = Detector::with_state(&config(), &detector_model(), damaged).unwrap();
    assert_eq!((restored.number_of_events(), restored.threshold()), (0, detector.threshold()));
    json["state_version"] = 99.into();
    json["watch"] = "of a later version".into();
    let later = StreamState::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(later, known.clone().into());
    assert_eq!(state.calibration_only(), later);
}

#[test]
fn a_new_budget_keeps_what_alarms_have_taught() {
    let mut noise = Noise::new(44);
    let detector = calibrated(&mut noise, &config());
    let state = detector.snapshot().unwrap();
    let other = DetectConfig { events_per_hour: 36.0, ..config() };
    let restored = Detector::with_state(&other, &detector_model(), state).unwrap();
    assert!((restored.threshold().unwrap() - 2.0).abs() < 1e-9);
    let mut restored = restored;
    let found = hear(&mut restored, &noise.event(150, 12.0, 6.0));
    assert_eq!((found.len(), found[0].phase, found[0].budget_per_hour), (1, Phase::New, 36.0));
}

/// Beginning and end of the one event that was found; between the two it may have become severe, once.
pub(super) fn one_event(found: &[Finding]) -> (&Finding, &Finding) {
    let ([new, end] | [new, Finding { phase: Phase::Update, .. }, end]) = found else { panic!("{found:?}") };
    assert_eq!((new.phase, end.phase, new.number), (Phase::New, Phase::End, end.number), "{found:?}");
    (new, end)
}

fn is_relearning(detector: &Detector) -> bool {
    matches!(detector.state(), DetectorState::Relearning { .. })
}

#[test]
fn a_site_that_changes_is_learnt_anew_and_found_again() {
    let mut noise = Noise::new(50);
    let mut detector = calibrated(&mut noise, &config());
    hear(&mut detector, &noise.frames(1000));
    let (old, threshold) = (detector.calibration().unwrap().id(), detector.threshold());

    let found = hear(&mut detector, &noise.event(3200, 12.0, 6.0));
    let (new, end) = one_event(&found);
    assert_eq!((new.phase, end.phase, new.regime, end.regime), (Phase::New, Phase::End, false, true));
    assert!(is_relearning(&detector));
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(json.matches("regime").count(), 1);

    assert_eq!(hear(&mut detector, &noise.event(6100, 12.0, 6.0)), []);
    assert_eq!(detector.state(), DetectorState::Watching);
    let new = detector.calibration().unwrap().id();
    assert_ne!(new, old);
    assert_eq!(hear(&mut detector, &noise.event(3000, 12.0, 6.0)), []);
    let found = hear(&mut detector, &noise.event(100, 24.0, 12.0));
    assert!(!found.is_empty() && found.iter().all(|f| f.number == found[0].number), "{found:?}");
    assert_eq!(found[0].calibration, new);
    hear(&mut detector, &noise.event(300, 12.0, 6.0));

    // a restart forgets neither place
    let state = StreamState::from_json(&serde_json::to_vec(&detector.snapshot().unwrap()).unwrap()).unwrap();
    let mut detector = Detector::with_state(&config(), &detector_model(), state).unwrap();
    hear(&mut detector, &noise.event(300, 12.0, 6.0));

    let found = hear(&mut detector, &noise.frames(3200));
    assert!(found.last().unwrap().regime && is_relearning(&detector), "{found:?}");
    hear(&mut detector, &noise.frames(3300));
    assert_eq!(detector.state(), DetectorState::Watching);
    assert_eq!(detector.calibration().unwrap().id(), old);
    // what was learnt there goes on: the first half minute of the change still counted
    assert!((detector.threshold().unwrap() - threshold.unwrap()).abs() < 0.005);
    assert_eq!(hear(&mut detector, &noise.frames(3000)), []);
    assert!(!hear(&mut detector, &noise.event(100, 12.0, 6.0)).is_empty());
    assert_eq!(detector.counts().regimes, 1);
}

#[test]
fn a_long_noise_that_passes_changes_nothing() {
    let mut noise = Noise::new(51);
    let mut detector = calibrated(&mut noise, &config());
    hear(&mut detector, &noise.frames(1000));
    let known = detector.calibration().unwrap().id();
    let found = hear(&mut detector, &noise.event(4000, 12.0, 6.0));
    assert!(found.len() == 2 && found[1].regime && is_relearning(&detector), "{found:?}");
    assert_eq!(hear(&mut detector, &noise.frames(4500)), []);
    assert_eq!((detector.state(), detector.calibration().unwrap().id()), (DetectorState::Watching, known));
    assert!(!hear(&mut detector, &noise.event(100, 12.0, 6.0)).is_empty());
}

#[test]
fn what_is_declared_normal_is_not_reported_again() {
    let mut noise = Noise::new(52);
    let mut detector = calibrated(&mut noise, &config());
    let mut once = |detector: &mut Detector, z: f32| {
        let mut found = hear(detector, &noise.frames(1000));
        found.extend(hear(detector, &noise.event(80, 0.0, z)));
        found.extend(hear(detector, &noise.frames(300)));
        found.len()
    };
    assert_eq!(once(&mut detector, 14.0), 2);
    assert_eq!(once(&mut detector, 14.0), 2);
    assert!(!detector.judge(7, Verdict::Normal));
    assert!(detector.judge(1, Verdict::Normal));
    assert_eq!((once(&mut detector, 14.0), detector.counts().known), (0, 1));
    assert_eq!(once(&mut detector, -14.0), 2);
    let state = detector.snapshot().unwrap();
    let mut again = Detector::with_state(&config(), &detector_model(), state).unwrap();
    assert_eq!((once(&mut again, 14.0), again.counts().known), (0, 1));
    assert_eq!(again.number_of_events(), 3);
    assert!(again.judge(1, Verdict::Anomaly));
    assert_eq!(once(&mut again, 14.0), 2);
}

#[test]
fn a_new_budget_and_a_new_calibration_take_hold() {
    let mut noise = Noise::new(12);
    let mut detector = calibrated(&mut noise, &config());
    assert!(detector.set_events_per_hour(0.0).is_err());
    detector.set_events_per_hour(60.0).unwrap();
    let found = hear(&mut detector, &noise.event(20, 12.0, 0.0));
    assert!(found.iter().all(|f| f.phase != Phase::End && f.number == 0));
    assert_eq!((found[0].phase, found[0].budget_per_hour), (Phase::New, 60.0));
    let mut out = Vec::new();
    detector.recalibrate(&mut out);
    assert_eq!((out.len(), detector.state()), (1, DetectorState::Calibrating { done: 0.0 }));
    hear(&mut detector, &noise.event(6100, 12.0, 0.0));
    assert_eq!(hear(&mut detector, &noise.event(300, 12.0, 0.0)), []);
}

#[test]
fn what_comes_again_is_one_story() {
    let mut noise = Noise::new(53);
    let mut detector = calibrated(&mut noise, &config());
    let mut once = |detector: &mut Detector, z: f32| {
        let mut found = hear(detector, &noise.frames(1000));
        found.extend(hear(detector, &noise.event(80, 0.0, z)));
        found.extend(hear(detector, &noise.frames(300)));
        found
    };
    for number in 0..3 {
        let found = once(&mut detector, 14.0);
        let (_, end) = one_event(&found);
        assert_eq!((end.number, end.repeats), (number, number as u32));
        assert_eq!(end.repeat_of, (number > 0).then_some(0));
        assert_eq!(end.summary.contains("before"), number > 0, "{}", end.summary);
    }
    assert_eq!(once(&mut detector, 14.0), []);
    assert_eq!((detector.counts().repeats, detector.counts().known), (1, 0));
    // another sound is reported, and so is this one where it is far more
    let other = once(&mut detector, -14.0);
    assert_eq!(one_event(&other).1.repeat_of, None);
    let far = once(&mut detector, 80.0);
    assert_eq!(one_event(&far).1.repeats, 4);
    // a restart forgets nothing
    let json = serde_json::to_vec(&detector.snapshot().unwrap()).unwrap();
    let state = StreamState::from_json(&json).unwrap();
    let mut again = Detector::with_state(&config(), &detector_model(), state).unwrap();
    assert_eq!((once(&mut again, 14.0), again.counts().repeats), (vec![], 1));
    // what the operator calls an anomaly is always told
    assert!(again.judge(1, Verdict::Anomaly));
    assert_eq!(one_event(&once(&mut again, 14.0)).1.repeat_of, Some(0));
    // without a budget that is held, nothing rests
    let free = DetectConfig { hold_budget: false, ..config() };
    let mut free = Detector::with_state(&free, &detector_model(), detector.snapshot().unwrap()).unwrap();
    assert_eq!(one_event(&once(&mut free, 14.0)).1.repeat_of, Some(0));
}
