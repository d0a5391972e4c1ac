//! The calibration and the gate for scores that come from elsewhere, so that other detectors can be compared.

use crate::detect::{Change, DetectConfig, Gate, OngoingEvent, Rules, ScoredFrame, Tail};
use crate::error::Result;
use crate::units::{FRAME_RATE, frame_end, frame_start, samples_to_seconds};

/// Events of a score that comes once in `row` frames: the tail of its maxima over 1 s of the first `known` rows, then
/// the gate of `config`. Gives onset and time of confirmation in seconds from the first row. The first second is not
/// used.
///
/// # Errors
/// When the known part is too short for a tail, or `config` is out of range.
pub(super) fn alarms_of(
    scores: &[f64],
    known: usize,
    row: usize,
    config: &DetectConfig,
) -> Result<Vec<(f64, f64)>> {
    config.validate()?;
    let block = FRAME_RATE as usize / row.max(1);
    let known_scores = scores.get(block..known).unwrap_or_default();
    let maxima =
        known_scores.chunks_exact(block).map(|b| b.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let tail = Tail::fit(maxima.collect())?;
    let mut gate = Gate::new(Rules::new(config));
    let mut alarms = Vec::new();
    for (number, &score) in scores.iter().enumerate().skip(known) {
        let p = tail.tail_probability(score);
        // the score of a row is known at its end
        for frame in (number + 1) * row - 1..(number + 2) * row - 1 {
            let scored =
                ScoredFrame { p, score: -p.log10(), novelty: score, ..ScoredFrame::quiet(frame as u64) };
            if gate.push(&scored) == Some(Change::Began) {
                let onset = gate.episode().map_or(0, OngoingEvent::onset);
                let now = samples_to_seconds(frame_end(frame as u64));
                alarms.push((samples_to_seconds(frame_start(onset)), now));
            }
        }
    }
    Ok(alarms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_alarm_at_its_onset() {
        let mut scores: Vec<f64> = (0..2000).map(|i| (i * 37 % 101) as f64 / 101.0).collect();
        scores[1500..1510].iter_mut().for_each(|x| *x += 20.0);
        let alarms = alarms_of(&scores, 1000, 5, &DetectConfig::default()).unwrap();
        assert_eq!(alarms.len(), 1);
        assert!((alarms[0].0 - 75.0).abs() <= 0.35 && alarms[0].1 > alarms[0].0, "{alarms:?}");
        assert!(alarms_of(&scores, 100, 5, &DetectConfig::default()).is_err());
    }
}
