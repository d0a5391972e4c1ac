//! How often sound of a usual site exceeds what its calibration calls improbable.

use super::saturation::saturated;

/// Points of the map, −log10 of a probability of calibration to −log10 of how often it is exceeded at a site where that is usual.
///
/// Minutes of a site do not show all that it does: of 857 s of uninterrupted recordings (18 machines and sites of `split = train`,
/// after calibrations of 25 to 120 s) one second in 45 was as improbable as one in 100 was to be, one in 140 as one in 10,000. A few
/// sites cause most of that, and watching finds them out within seconds ([`Recalibrated`](super::maxima::Recalibrated)); for the
/// others −log10 p grows beyond 1 by 1.45 times what it would over all of them, the factor by which a budget of 12 an hour is kept on
/// streams of the training recordings.
const POINTS: [(f64, f64); 8] =
    [(0.0, 0.0), (1.0, 1.0), (1.5, 1.5), (2.0, 1.9), (3.0, 2.31), (4.0, 2.67), (6.0, 3.32), (8.0, 3.83)];
/// Beyond the last point.
const SLOPE: f64 = 0.36;
/// Seconds of calibration that count as much as what is known of sites in general.
const PRIOR_SECONDS: f64 = 600.0;

/// −log10 of the probability in force, where `surprisal` is that by a calibration of `seconds`.
///
/// The two are averaged as logarithms, the calibration's own by T/(T + 600 s). The map is increasing: no sound changes places
/// with another.
pub(super) fn tempered(surprisal: f64, seconds: f64) -> f64 {
    let own = seconds / (seconds + PRIOR_SECONDS);
    bent(own * surprisal + (1.0 - own) * usual(surprisal))
}

/// Bends what lies beyond 8 so that it stays below 12: of a site that calibration knew nothing of, the stranger of two sounds
/// still has the higher score.
fn bent(surprisal: f64) -> f64 {
    saturated(surprisal, 8.0, 4.0, 20.0)
}

fn usual(surprisal: f64) -> f64 {
    for pair in POINTS.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if surprisal <= x1 {
            return y0 + (y1 - y0) * (surprisal - x0) / (x1 - x0);
        }
    }
    let (x, y) = POINTS[POINTS.len() - 1];
    y + SLOPE * (surprisal - x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_calibration_is_believed_less() {
        assert!((tempered(6.0, 0.0) - 3.32).abs() < 1e-9);
        assert!((tempered(6.0, 600.0) - (6.0 + 3.32) / 2.0).abs() < 1e-9);
        assert!(tempered(6.0, 3600.0) > 5.5 && tempered(12.0, 120.0) < 6.5);
        assert!(tempered(300.0, 3600.0) < 12.0);
    }

    proptest! {
        #[test]
        fn order_stays(mut at in prop::collection::vec(0.0..300.0f64, 2..20), seconds in 10.0..3600.0f64) {
            at.sort_by(f64::total_cmp);
            let tempered: Vec<f64> = at.iter().map(|&x| super::tempered(x, seconds)).collect();
            prop_assert!(tempered.windows(2).all(|w| w[0] <= w[1]));
            prop_assert!(tempered.iter().zip(&at).all(|(y, x)| *y <= x + 1e-9));
        }
    }
}
