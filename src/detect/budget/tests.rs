use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const RATES: [f64; 3] = [0.5, 1.0, 4.0];
const HOUR: u64 = 3600;

/// Blocks whose maxima are −log10 of a uniform number times `scale`: calibrated for 1.
struct Blocks {
    rng: ChaCha8Rng,
    scale: f64,
}

impl Blocks {
    fn new(seed: u64, scale: f64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), scale }
    }

    /// Alarms in `hours` under the control of `controller`.
    fn run(&mut self, controller: &mut Controller, hours: u64) -> f64 {
        let mut alarms = 0;
        for block in 0..hours * HOUR {
            let alarm = self.score() > controller.threshold();
            alarms += u64::from(alarm);
            controller.push(true, alarm.then_some(block));
        }
        alarms as f64
    }

    fn score(&mut self) -> f64 {
        -self.scale * (1.0 - self.rng.random::<f64>()).log10()
    }
}

fn controller(events_per_hour: f64) -> Controller {
    Controller::new(events_per_hour, CALIBRATED_SCALE).unwrap()
}

#[test]
fn the_budget_is_kept_whether_p_is_right_or_not() {
    for rate in RATES {
        for scale in [1.0, 1.25, 1.5] {
            let counts: Vec<f64> = (0..8)
                .map(|seed| {
                    let mut blocks = Blocks::new(seed, scale);
                    let mut controller = controller(rate);
                    blocks.run(&mut controller, 3);
                    blocks.run(&mut controller, 20) / 20.0
                })
                .collect();
            let mean = counts.iter().sum::<f64>() / counts.len() as f64;
            let reported = format!("{counts:?} an hour for a budget of {rate} at a scale of {scale}");
            assert!((rate / 1.5..=rate * 1.5).contains(&mean), "{reported}");
            assert!(counts.iter().all(|count| (rate / 2.0..=rate * 2.0).contains(count)), "{reported}");
        }
    }
}

#[test]
fn without_control_the_same_scores_break_it() {
    for rate in RATES {
        let fixed = controller(rate).threshold();
        let mut blocks = Blocks::new(1, 1.25);
        let alarms = (0..100 * HOUR).filter(|_| blocks.score() > fixed).count();
        assert!(alarms as f64 / 100.0 > 3.0 * rate, "{alarms} in 100 h for a budget of {rate}");
    }
}

#[test]
fn what_was_learnt_outlives_a_change_of_the_budget() {
    let mut blocks = Blocks::new(3, 1.25);
    let mut controller = controller(1.0);
    blocks.run(&mut controller, 20);
    let (offset, threshold) = (controller.offset(), controller.threshold());
    assert!(offset > 0.4, "{offset}");
    controller.set_rate(4.0).unwrap();
    assert_eq!(controller.offset(), offset);
    assert!((threshold - controller.threshold() - 4f64.log10()).abs() < 1e-12);
    let rate = blocks.run(&mut controller, 20) / 20.0;
    assert!((4.0 / 1.5..=4.0 * 1.5).contains(&rate), "{rate}");
    assert!(controller.set_rate(0.0).is_err());
    assert_eq!(controller.events_per_hour(), 4.0);
}

#[test]
fn one_alarm_an_hour_leaves_the_threshold_of_one_an_hour_where_it_is() {
    let mut controller = controller(1.0);
    assert!((controller.threshold() - 3600f64.log10()).abs() < 1e-12);
    controller.push(true, Some(0));
    assert!((controller.offset() - CALIBRATED_SCALE / 2.0 * (1.0 - 1.0 / 3600.0)).abs() < 1e-12);
    (1..HOUR).for_each(|_| controller.push(true, None));
    assert!(controller.offset().abs() < 1e-9, "{}", controller.offset());
    let before = controller.clone();
    controller.push(false, Some(1));
    assert_eq!(controller, before);
}

#[test]
fn the_threshold_stays_in_its_range() {
    let mut controller = controller(4.0);
    (0..100).for_each(|number| controller.push(true, Some(number)));
    assert_eq!(controller.offset(), 4.0);
    (0..100 * HOUR).for_each(|_| controller.push(true, None));
    assert_eq!(controller.offset(), -0.3);
    assert!(controller.judge(0, Verdict::Anomaly));
    assert_eq!(controller.offset(), -0.3);
    assert!(controller.is_whole());
}

#[test]
fn a_confirmed_anomaly_is_taken_back_once() {
    let mut judged = controller(1.0);
    judged.push(true, Some(7));
    let counted = judged.offset();
    for (verdict, expected) in [
        (Verdict::Normal, counted),
        (Verdict::Anomaly, counted - judged.step),
        (Verdict::Anomaly, counted - judged.step),
        (Verdict::Normal, counted),
        (Verdict::Normal, counted),
    ] {
        assert!(judged.judge(7, verdict));
        assert!((judged.offset() - expected).abs() < 1e-12, "{verdict:?}");
    }
    assert!(!judged.judge(8, Verdict::Anomaly));
    (0..REMEMBERED as u64).for_each(|number| judged.push(true, Some(100 + number)));
    assert!(!judged.judge(7, Verdict::Anomaly));
    assert_eq!(judged.recent.len(), REMEMBERED);
}

#[test]
fn real_events_that_are_confirmed_do_not_deafen_it() {
    let mut blocks = Blocks::new(5, 1.0);
    let (mut reported, mut silent) = (controller(1.0), controller(1.0));
    for block in 0..20 * HOUR {
        let score = if block % 360 == 0 { 12.0 } else { blocks.score() };
        for controller in [&mut reported, &mut silent] {
            let alarm = score > controller.threshold();
            controller.push(true, alarm.then_some(block));
        }
        if block % 360 == 0 {
            assert!(reported.judge(block, Verdict::Anomaly));
        }
    }
    assert!(reported.offset() < 0.7, "{}", reported.offset());
    assert_eq!(silent.offset().round(), 4.0);
}

#[test]
fn three_at_once_then_one_at_a_time_and_severe_ones_always() {
    let mut bucket = TokenBucket::new(2.0, 1.0).unwrap();
    let admitted = (0..10).filter(|_| bucket.admit(false)).count();
    assert_eq!((admitted, bucket.refused(), bucket.tokens()), (3, 7, 0));
    assert!((0..10).all(|_| bucket.admit(true)));
    bucket.advance(179_000);
    assert!(!bucket.admit(false));
    bucket.advance(1_000);
    assert!(bucket.admit(false) && !bucket.admit(false));
    assert_eq!(bucket.refused(), 9);
    bucket.advance(u64::MAX);
    assert_eq!(bucket.tokens(), 3);
    bucket.set_rate(4.0, 900.0).unwrap();
    assert!(bucket.admit(false));
    bucket.advance(100);
    assert_eq!(bucket.tokens(), 3);
}

#[test]
fn what_is_out_of_range_is_refused_with_its_value() {
    for error in [
        Controller::new(0.0, 0.4).unwrap_err(),
        Controller::new(f64::NAN, 0.4).unwrap_err(),
        Controller::new(1.0, 0.0).unwrap_err(),
        Controller::new(1.0, f64::INFINITY).unwrap_err(),
        TokenBucket::new(0.5, 1.0).unwrap_err(),
        TokenBucket::new(2.0, 1e9).unwrap_err(),
    ] {
        assert!(error.to_string().contains("expected") && !error.fix().is_empty(), "{error}");
    }
    let mut broken = controller(1.0);
    broken.offset = 5.0;
    assert!(!broken.is_whole());
}

proptest! {
    #[test]
    fn alarms_are_the_budget_and_what_was_learnt(
        rate in 0.01..80.0f64,
        alarms in prop::collection::vec(prop::bool::weighted(0.3), 1..12),
    ) {
        let mut controller = controller(rate);
        for (number, &alarm) in (0..).zip(&alarms) {
            controller.push(true, alarm.then_some(number));
        }
        let count = alarms.iter().filter(|&&alarm| alarm).count() as f64;
        let expected = rate * alarms.len() as f64 / 3600.0 + controller.offset() / controller.step;
        prop_assert!((count - expected).abs() < 1e-9);
    }

    #[test]
    fn any_life_is_whole_and_survives_json(
        rate in 0.01..3600.0f64,
        life in prop::collection::vec((any::<bool>(), prop::option::of(0..40u64), 0..40u64, any::<bool>()), 0..200),
    ) {
        let mut controller = controller(rate);
        for (usable, alarm, judged, anomaly) in life {
            controller.push(usable, alarm);
            controller.judge(judged, if anomaly { Verdict::Anomaly } else { Verdict::Normal });
            prop_assert!((-0.3..=4.0).contains(&controller.offset()));
        }
        prop_assert!(controller.is_whole());
        let json = serde_json::to_string(&controller).unwrap();
        prop_assert_eq!(serde_json::from_str::<Controller>(&json).unwrap(), controller);
    }

    #[test]
    fn the_cap_holds_and_grouping_makes_no_difference(
        factor in 1.0..100.0f64,
        rate in 0.01..3600.0f64,
        steps in prop::collection::vec((0..5_000u64, 0..4usize), 1..60),
    ) {
        let mut whole = TokenBucket::new(factor, rate).unwrap();
        let mut pieces = whole.clone();
        let (mut admitted, mut frames) = (0u64, 0);
        for (pause, alarms) in steps {
            whole.advance(pause);
            pieces.advance(pause / 3);
            pieces.advance(pause - pause / 3);
            frames += pause;
            for _ in 0..alarms {
                let verdict = whole.admit(false);
                prop_assert_eq!(pieces.admit(false), verdict);
                admitted += u64::from(verdict);
            }
        }
        prop_assert!(admitted as f64 <= 3.0 + 1.0001 * factor * rate * frames as f64 / 360_000.0);
        let json = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(serde_json::from_str::<TokenBucket>(&json).unwrap(), pieces);
        prop_assert!(whole.is_whole());
    }
}
