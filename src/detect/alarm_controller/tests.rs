//! The watch over simulated probabilities: hours in a moment.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::event::{Phase, Verdict};

/// A stream of frames whose block maxima of −log10 p are chosen by the test.
struct Stream {
    alarm_controller: AlarmController,
    rng: ChaCha8Rng,
    index: u64,
    /// Events told so far, and whether each was severe when it began.
    reported: Vec<bool>,
    /// How often one that had been reported became severe.
    grown: usize,
}

impl Stream {
    fn new(config: &DetectConfig, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            alarm_controller: AlarmController::new(config).unwrap(),
            rng,
            index: 0,
            reported: Vec::new(),
            grown: 0,
        }
    }

    fn frame(&mut self, score: f64) {
        let score = score.clamp(0.0, 12.0);
        let mut scored =
            ScoredFrame { p: 10f64.powf(-score), score, level_dbfs: -40.0, ..ScoredFrame::quiet(self.index) };
        self.index += 1;
        self.alarm_controller.tick();
        let reported = self.alarm_controller.push(&mut scored, None, self.reported.len() as u64);
        self.grown += usize::from(reported.graver);
        if reported.began {
            self.reported.push(scored.p < self.alarm_controller.severe_below());
        }
    }

    /// A second that is at `score` for 50 ms and lower elsewhere.
    fn second(&mut self, score: f64) {
        (0..100u32).for_each(|i| self.frame(if (40..45).contains(&i) { score } else { score.min(0.3) }));
    }

    /// Hours of seconds whose p is uniform, in units of `scale` and moved by `shift`. Gives the alarms reported in each.
    fn hours(&mut self, hours: usize, scale: f64, shift: f64) -> Vec<usize> {
        let hour = |stream: &mut Self| {
            let before = stream.reported.len();
            for _ in 0..3600 {
                let score = -(1.0 - stream.rng.random::<f64>()).log10() * scale + shift;
                stream.second(score);
            }
            stream.reported.len() - before
        };
        (0..hours).map(|_| hour(self)).collect()
    }
}

fn config(events_per_hour: f64) -> DetectConfig {
    DetectConfig { events_per_hour, ..Default::default() }
}

fn mean(counts: &[usize]) -> f64 {
    counts.iter().sum::<usize>() as f64 / counts.len() as f64
}

#[test]
fn the_budget_holds_for_hours_whatever_the_tail_was_taken_for() {
    for (scale, shift) in [(1.0, 0.0), (1.25, 0.0), (1.5, 0.0), (1.0, 0.5), (0.8, -0.3)] {
        let mut stream = Stream::new(&config(4.0), 1);
        let counts = stream.hours(24, scale, shift);
        let (all, late) = (mean(&counts), mean(&counts[6..]));
        assert!(all < 8.0 && (2.0..6.5).contains(&late), "scale {scale}, shift {shift}: {counts:?}");
    }
}

#[test]
fn sound_that_drifts_away_and_stays_is_learnt_within_hours() {
    let mut stream = Stream::new(&config(2.0), 2);
    stream.hours(6, 1.0, 0.0);
    let counts = stream.hours(12, 1.25, 0.3);
    assert!(counts[0] <= 20 && mean(&counts[4..]) < 4.0, "{counts:?}");
    let back = stream.hours(12, 1.0, 0.0);
    assert!(mean(&back[6..]) > 0.5, "{back:?}");
}

#[test]
fn a_storm_is_capped_and_severe_alarms_are_not() {
    let mut stream = Stream::new(&config(1.0), 3);
    stream.second(0.2);
    // 3.9 is an alarm for a budget of 1 an hour (3.56), 5.6 is severe
    for i in 0..600 {
        stream.second(if i % 3 == 1 { 3.9 } else { 0.2 });
    }
    assert!(stream.reported.len() <= 3 + 1 && stream.reported.len() >= 2, "{:?}", stream.reported);
    let threshold = stream.alarm_controller.learnt.controller.threshold();
    assert!(threshold > 3.8, "{threshold}");
    let before = stream.reported.len();
    for i in 0..300 {
        // what the storm has taught to be usual makes less than this severe no more
        stream.second(if i % 10 == 1 { 9.5 } else { 0.2 });
    }
    assert_eq!(stream.reported.len() - before, 30);
    assert!(stream.reported[before..].iter().all(|&severe| severe));
    let fallen = threshold - stream.alarm_controller.learnt.controller.threshold();
    assert!((0.0..0.05).contains(&fallen), "severe alarms moved the threshold by {fallen}");
}

#[test]
fn refused_alarms_count_for_the_threshold() {
    let mut stream = Stream::new(&config(1.0), 4);
    for i in 0..200 {
        stream.second(if i % 2 == 1 { 5.0 } else { 0.2 });
    }
    let threshold = stream.alarm_controller.learnt.controller.threshold();
    assert!(threshold > 4.3, "{threshold}");
    assert_eq!(
        stream.reported.len() as u64 + stream.alarm_controller.counts().capped,
        ((threshold - 3.55) / 0.217).round() as u64
    );
    assert!(stream.alarm_controller.counts().capped > 0);
}

#[test]
fn an_event_that_was_reported_and_grows_severe_is_reported_once_more() {
    let mut stream = Stream::new(&config(1.0), 8);
    let mut play = |scores: &[f64]| {
        let (reported, grown) = (stream.reported.len(), stream.grown);
        scores.iter().for_each(|&score| (0..40).for_each(|_| stream.frame(score)));
        (0..200).for_each(|_| stream.frame(0.2));
        (stream.reported.len() - reported, stream.grown - grown)
    };
    assert_eq!(play(&[4.4, 6.0, 4.4, 7.0]), (1, 1));
    assert_eq!(play(&[6.0, 4.4, 7.0]), (1, 0), "it was severe from the first");
    assert_eq!(play(&[4.4, 4.5]), (1, 0));
}

#[test]
fn an_event_that_grows_severe_is_reported_then_and_taken_back_from_the_budget() {
    let mut stream = Stream::new(&config(1.0), 5);
    let quiet = |stream: &mut Stream, n| (0..n).for_each(|_| stream.frame(0.2));
    for _ in 0..3 {
        quiet(&mut stream, 130);
        (0..20).for_each(|_| stream.frame(4.4));
        quiet(&mut stream, 50);
    }
    assert_eq!(stream.reported.len(), 3);
    // the bucket is empty now
    quiet(&mut stream, 300);
    let threshold = stream.alarm_controller.learnt.controller.threshold();
    (0..250).for_each(|_| stream.frame(5.0));
    assert_eq!(
        (stream.reported.len(), stream.alarm_controller.counts().capped, stream.alarm_controller.episode()),
        (3, 1, None)
    );
    assert!(stream.alarm_controller.learnt.controller.threshold() > threshold + 0.2);
    (0..20).for_each(|_| stream.frame(8.0));
    assert_eq!(stream.reported, [false, false, false, true]);
    quiet(&mut stream, 300);
    assert!(stream.alarm_controller.learnt.controller.threshold() <= threshold);
}

#[test]
fn what_is_severe_stays_out_of_the_hourly_fit() {
    let refitted = |every: usize, score: f64| {
        let mut stream = Stream::new(&config(1.0), 6);
        for i in 0..3600 {
            let normal = -(1.0 - stream.rng.random::<f64>()).log10();
            stream.second(if i % every == 1 { score } else { normal });
        }
        -stream.alarm_controller.learnt.recalibrated.p(1e-6).log10()
    };
    let clean = refitted(10_000, 0.0);
    let severe = refitted(50, 9.0);
    assert!((severe - clean).abs() < 1.0, "{severe} for {clean}");
    assert!(clean > 4.0, "{clean}");
}

#[test]
fn phases_of_a_reported_event_are_whole() {
    let mut stream = Stream::new(&config(1.0), 7);
    (0..100).for_each(|_| stream.frame(0.2));
    (0..30).for_each(|_| stream.frame(8.0));
    assert!(stream.alarm_controller.episode().is_some());
    let ended = stream.alarm_controller.finish(1).ended.unwrap();
    assert_eq!((ended.onset(), ended.last_active()), (100, 129));
    assert_eq!(stream.alarm_controller.episode(), None);
    let setting = crate::detect::ongoing_event::EventContext {
        number: 0,
        reported: None,
        background_dbfs: 0.0,
        budget_per_hour: 1.0,
        calibration: String::new(),
        repeat: None,
    };
    let finding = ended.finding(Phase::End, 130, stream.alarm_controller.severe_below(), &setting);
    assert_eq!(finding.offset_sample, Some(130 * 160));
}

#[test]
fn while_the_site_changes_ordinary_alarms_rest_and_severe_ones_are_reported() {
    let mut stream = Stream::new(&config(1.0), 8);
    let threshold = stream.alarm_controller.learnt.controller.threshold();
    // a minute of sound that is improbable but no alarm
    (0..62).for_each(|_| (0..100).for_each(|_| stream.frame(3.2)));
    assert!(stream.alarm_controller.takes_regime_change() && !stream.alarm_controller.takes_regime_change());
    assert_eq!((stream.reported.len(), stream.alarm_controller.counts().regimes), (0, 1));
    let before = stream.alarm_controller.learnt.maxima.blocks();
    for i in 0..90 {
        stream.second(if i % 3 == 1 { 4.5 } else { 1.0 });
    }
    assert_eq!((stream.reported.len(), stream.alarm_controller.counts().capped), (0, 0));
    assert_eq!(stream.alarm_controller.learnt.maxima.blocks(), before);
    for i in 0..30 {
        stream.second(if i % 3 == 1 { 6.5 } else { 1.0 });
    }
    // p says little of a site that is not the calibrated one: no more than the cap has
    assert_eq!(stream.reported, [true; 3]);
    // also where the site itself is improbable all the time
    for _ in 0..5 {
        (0..200).for_each(|_| stream.frame(3.8));
        (0..10).for_each(|_| stream.frame(6.5));
    }
    assert_eq!(stream.reported, [true; 3]);
    (0..100).for_each(|_| stream.frame(1.0));
    stream.alarm_controller.thaw();
    for i in 0..6 {
        stream.second(if i % 3 == 1 { 4.5 } else { 1.0 });
    }
    assert_eq!(stream.reported.len(), 3);
    assert!(stream.alarm_controller.counts().capped >= 12);
    assert!(stream.alarm_controller.learnt.controller.threshold() > threshold);
}

#[test]
fn an_anomaly_is_taken_back_from_the_budget_and_from_the_maxima() {
    let mut stream = Stream::new(&config(1.0), 9);
    let quiet = stream.alarm_controller.learnt.controller.threshold();
    (0..5).for_each(|_| stream.second(1.0));
    stream.second(4.5);
    (0..5).for_each(|_| stream.second(1.0));
    let raised = stream.alarm_controller.learnt.controller.threshold();
    assert!(raised > quiet + 0.2);
    assert!(
        stream.alarm_controller.judge(0, Verdict::Normal)
            && !stream.alarm_controller.judge(1, Verdict::Anomaly)
    );
    assert_eq!(stream.alarm_controller.learnt.controller.threshold(), raised);
    let kept = stream.alarm_controller.learnt.maxima.clone();
    assert!(stream.alarm_controller.judge(0, Verdict::Anomaly));
    assert!(stream.alarm_controller.learnt.controller.threshold() < quiet);
    assert_ne!(stream.alarm_controller.learnt.maxima, kept);
}

/// Frames with the pooled z of `window` every 50 ms. Gives the numbers of the events that were reported when they ended.
fn sound(
    stream: &mut Stream,
    frames: u64,
    score: f64,
    window: &[f32],
    novelty: f64,
) -> Vec<(bool, Option<Repeat>)> {
    let mut ended = Vec::new();
    for _ in 0..frames {
        let mut scored =
            ScoredFrame { p: 10f64.powf(-score), score, novelty, ..ScoredFrame::quiet(stream.index) };
        let fresh = stream.index.is_multiple_of(5);
        stream.index += 1;
        stream.alarm_controller.tick();
        let reported =
            stream.alarm_controller.push(&mut scored, fresh.then_some(window), stream.reported.len() as u64);
        if reported.began {
            stream.reported.push(scored.p < stream.alarm_controller.severe_below());
        }
        if reported.ended.is_some() {
            ended.push((reported.ended.is_some(), reported.repeat));
        }
    }
    ended
}

#[test]
fn a_sound_that_is_reported_often_comes_once_an_hour_and_costs_no_budget() {
    const ROOM: [f32; 4] = [10.0, 10.0, 10.0, 9.5];
    const BELL: [f32; 4] = [10.5, 10.0, 13.0, 9.0];
    const HOUR: u64 = 360_000;
    let mut stream = Stream::new(&config(1.0), 10);
    let ring = |stream: &mut Stream, score: f64, novelty: f64| {
        sound(stream, 1000, 0.2, &ROOM, 1.0);
        let mut ended = sound(stream, 60, score, &BELL, novelty);
        ended.extend(sound(stream, 200, 0.2, &ROOM, 1.0));
        ended
    };
    // three ordinary alarms empty the bucket, and raise the threshold
    for times in 0..3 {
        let ended = ring(&mut stream, 4.4, 3.0);
        assert_eq!((ended.len(), ended[0].1.map_or(0, |repeat| repeat.times)), (1, times));
    }
    assert_eq!(ring(&mut stream, 12.0, 3.0).len(), 1, "far less probable than what was reported often");
    let threshold = stream.alarm_controller.learnt.controller.threshold();
    let (capped, refused) =
        (stream.alarm_controller.counts().capped, stream.alarm_controller.bucket.tokens());
    for _ in 0..5 {
        assert_eq!(ring(&mut stream, 6.0, 3.0), []);
    }
    assert_eq!((stream.alarm_controller.counts().repeats, stream.reported.len()), (5, 4));
    assert!(
        stream.alarm_controller.learnt.controller.threshold() <= threshold,
        "repeats raised the threshold"
    );
    assert_eq!(
        (stream.alarm_controller.counts().capped, stream.alarm_controller.bucket.tokens()),
        (capped, refused)
    );

    // severe as well, but not in a new way
    assert_eq!(ring(&mut stream, 7.0, 8.0), []);
    assert_eq!(ring(&mut stream, 7.0, 9.5).len(), 1, "more than three times as novel");
    assert_eq!(ring(&mut stream, 7.0, 9.5), [], "that is known now, too");

    (0..HOUR).for_each(|_| stream.alarm_controller.tick());
    let ended = ring(&mut stream, 6.0, 3.0);
    let repeat = ended[0].1.unwrap();
    assert_eq!((ended.len(), repeat.of, repeat.times), (1, 0, 12));
    assert!(stream.alarm_controller.learnt.controller.threshold() <= threshold, "nor when it was told");
    assert_eq!(ring(&mut stream, 6.0, 3.0), []);
    // a day without it, and it is reported as at first
    (0..24 * HOUR).for_each(|_| stream.alarm_controller.tick());
    assert_eq!(ring(&mut stream, 6.0, 3.0).len(), 1);
    assert_eq!(ring(&mut stream, 6.0, 3.0).len(), 1);
}
