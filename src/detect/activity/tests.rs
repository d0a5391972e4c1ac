//! Machines that stop, stutter and miss beats.

use super::*;
use crate::cli::demo::Scene;
use crate::detect::kind::classify;
use crate::event::Kind;
use crate::nn::{LogMel, StreamingModule};
use crate::units::{BANDS, HOP, frame_end, level_dbfs, samples_to_seconds};
use candle_core::{Device, Tensor};

fn frame(index: u64, level_dbfs: f32, beats: bool) -> Frame {
    let beat = beats && index % 80 < 8;
    let band = |b: u64| {
        let noise = ((index * 7919 + b * 104_729) % 1013) as f32 / 1013.0;
        -6.0 + noise + if beat && b < 30 { 4.0 } else { 0.0 }
    };
    let bands = (0..BANDS as u64).map(band).collect();
    Frame { index, level_dbfs, bands, ..Frame::default() }
}

/// A minute of a machine between −42 and −38 dBFS, with beats every 0.8 s or without.
fn normal(beats: bool) -> (Vec<Frame>, Activity) {
    let frames: Vec<Frame> =
        (0..6000).map(|i| frame(i, -40.0 + 2.0 * (i as f32 / 150.0).sin(), beats)).collect();
    let levels: Vec<f64> = frames.iter().map(|f| f64::from(f.level_dbfs)).collect();
    let bands: Vec<f32> = frames.iter().flat_map(|f| f.bands.iter().copied()).collect();
    (frames, Activity::fit(&levels, &bands, &[]))
}

#[test]
fn a_stop_is_below_the_floor_and_reported_with_how_long_it_ran() {
    let (frames, activity) = normal(false);
    assert!((activity.floor_dbfs + 42.0).abs() < 0.2 && activity.rhythm.is_none(), "{activity:?}");
    let mut tracker = ActivityTracker::new();
    frames.iter().for_each(|frame| tracker.hear(frame));
    for i in 6000..6300 {
        tracker.push(&frame(i, -40.0, false), &activity);
        assert_eq!(tracker.clues(&activity, -40.0, false).below_floor_s, 0.0);
    }
    (6300..6400).for_each(|i| tracker.push(&frame(i, -70.0, false), &activity));
    let clues = tracker.clues(&activity, -40.0, false);
    assert!((0.7..0.9).contains(&clues.below_floor_s), "{clues:?}");
    assert!((clues.ran_s.unwrap() - 63.2).abs() < 0.2 && clues.level_change_db < -25.0, "{clues:?}");
    // it runs again for 10 s, stutters, and stops
    (6400..6600).for_each(|i| tracker.push(&frame(i, -70.0, false), &activity));
    (6600..7600)
        .for_each(|i| tracker.push(&frame(i, if i % 500 < 70 { -70.0 } else { -40.0 }, false), &activity));
    (7600..7700).for_each(|i| tracker.push(&frame(i, -70.0, false), &activity));
    let ran = tracker.clues(&activity, -40.0, false).ran_s.unwrap();
    assert!((ran - 10.0).abs() < 0.5, "{ran}");
}

#[test]
fn beats_are_clues_for_a_second_and_a_stop_of_beats_has_its_length() {
    let (frames, activity) = normal(true);
    let mut tracker = ActivityTracker::new();
    frames.iter().for_each(|frame| tracker.push(frame, &activity));
    let clues = tracker.clues(&activity, -40.0, false);
    assert!((clues.period_s.unwrap() - 0.8).abs() < 0.01 && clues.beat.is_none(), "{clues:?}");
    // the one at 60.0 s does not come
    (6000..6040).for_each(|i| tracker.push(&frame(i, -40.0, false), &activity));
    let clues = tracker.clues(&activity, -40.0, false);
    let Some(BeatFault::Missing { due_s }) = clues.beat else { panic!("{clues:?}") };
    assert!((due_s - 60.0).abs() < 0.04 && clues.missed_beats == 1, "{clues:?}");
    (6040..6150).for_each(|i| tracker.push(&frame(i, -40.0, true), &activity));
    assert_eq!(tracker.clues(&activity, -40.0, false).beat, None);
    (6150..6500).for_each(|i| tracker.push(&frame(i, -40.0, false), &activity));
    let clues = tracker.clues(&activity, -40.0, false);
    assert!(clues.missed_beats == 3 && (clues.ran_s.unwrap() - 65.0).abs() < 0.1, "{clues:?}");
}

/// Whatever the score says of it.
#[test]
fn the_press_of_the_demo_is_followed_and_each_of_its_faults_is_named() {
    let scene = Scene::press(/* quiet_s */ 41.0, /* spacing_s */ 10.0, 7);
    let filterbank = LogMel::new(BANDS, &Device::Cpu).unwrap();
    let whole = &scene.samples[..scene.samples.len() / HOP * HOP];
    let samples = Tensor::from_slice(whole, (1, whole.len()), &Device::Cpu).unwrap();
    let bands: Vec<f32> = filterbank.forward(&samples).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let frames: Vec<Frame> = bands
        .chunks_exact(BANDS)
        .zip(whole.chunks_exact(HOP))
        .enumerate()
        .map(|(i, (bands, hop))| Frame {
            index: i as u64,
            bands: bands.to_vec(),
            level_dbfs: level_dbfs(hop),
            ..Frame::default()
        })
        .collect();
    let (calibration, watched) = frames.split_at(4100);
    let levels: Vec<f64> = calibration.iter().map(|f| f64::from(f.level_dbfs)).collect();
    let activity = Activity::fit(&levels, &bands[..4100 * BANDS], &[]);
    let rhythm = activity.rhythm.as_ref().unwrap();
    assert!((rhythm.period_s - 0.8).abs() < 0.01 && activity.tones.is_some(), "{}", rhythm.period_s);
    let mut tracker = ActivityTracker::new();
    calibration.iter().for_each(|frame| tracker.hear(frame));
    let mut clues: Vec<(f64, EventFeatures)> = Vec::new();
    for frame in watched {
        tracker.push(frame, &activity);
        let at_s = samples_to_seconds(frame_end(frame.index));
        clues.push((at_s, tracker.clues(&activity, -40.0, true)));
    }
    let during = |from: f64, to: f64| {
        let mut all = EventFeatures::default();
        clues.iter().filter(|(at, _)| (from..to).contains(at)).for_each(|(_, c)| all.add(c));
        classify(&all)
    };
    for planted in &scene.planted {
        let (kind, detail) = during(planted.onset_s, planted.offset_s + 0.3);
        // two strokes in another order come at their time: that is for the terms to say
        if planted.kind == Kind::OutOfOrder {
            assert_eq!((kind, detail.due_s), (Kind::Foreign, None));
            continue;
        }
        assert_eq!(kind, planted.kind, "{planted:?}: {detail:?}");
        let off = match kind {
            Kind::Missing => detail.due_s.map(|due| (due - planted.onset_s) / 0.05),
            Kind::Early => detail.offset_ms.map(|offset| (offset + 180.0) / 40.0),
            Kind::Late => detail.offset_ms.map(|offset| (offset - 200.0) / 40.0),
            Kind::Changed => detail.pitch_percent.map(|pitch| (pitch - 6.0) / 1.5),
            _ => detail.ran_s.map(|ran| ran - planted.onset_s),
        };
        assert!(off.is_some_and(|off| off.abs() < 1.0), "{planted:?}: {detail:?}");
    }
    // nothing between them
    for pair in scene.planted.windows(2) {
        assert_eq!(
            during(pair[0].offset_s + 3.5, pair[1].onset_s - 0.1),
            (Kind::Foreign, Default::default())
        );
    }
}

#[test]
fn it_survives_json_and_is_checked() {
    let (_, activity) = normal(true);
    let json = serde_json::to_string(&activity).unwrap();
    assert_eq!(serde_json::from_str::<Activity>(&json).unwrap(), activity);
    assert!(activity.is_whole());
    assert!(!Activity { floor_dbfs: f32::NAN, rhythm: None, tones: None }.is_whole());
}
