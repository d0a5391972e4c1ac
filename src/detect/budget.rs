//! The false-alarm budget, kept online: a threshold that learns from alarms, and a hard cap above it.
//!
//! A tail fitted to minutes of sound is wrong by a factor of several at once an hour, and sound drifts.
//! [`Controller`] moves the threshold until alarms come at the rate of the budget; [`TokenBucket`] bounds what is
//! told while it has not yet. Both count audio time and know no clock.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::detect::exact::exact;
use crate::error::{Error, Result};
use crate::event::Verdict;
use crate::units::FRAME_RATE;

/// σ of a calibrated score: −log10 p of p uniform in (0, 1) has an exponential tail of scale 1/ln 10.
pub const CALIBRATED_SCALE: f64 = std::f64::consts::LOG10_E;

/// Blocks of 1 s in an hour.
const BLOCKS_PER_HOUR: f64 = 3600.0;
/// η over σ.
const STEP: f64 = 0.5;
/// How far the threshold may go below and above its start: to twice the events, and to a ten-thousandth of them.
const OFFSET_RANGE: (f64, f64) = (-0.3, 4.0);
/// Alarms that the operator may still judge.
const REMEMBERED: usize = 256;

/// The threshold on −log10 p that brings about λ alarms an hour.
///
/// After each usable block of 1 s, z ← z + η·(1\[alarm in the block\] − λ/3600) with η = σ/2, from
/// z = −log10(λ/3600): online subgradient descent on the pinball loss of the quantile λ/3600 (Gibbs and Candès,
/// Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021; Angelopoulos, Candès and Tibshirani,
/// Conformal PID Control for Time Series Prediction, NeurIPS 2023). T hours bring λT + (z_T − z_0)/η alarms,
/// whatever the scores are, as long as z is off the ends of its range, [start − 0.3, start + 4].
///
/// An alarm is a block that passed the threshold, told or not: with those that a cap refused left out, z would not
/// learn. Alarms count as false until the operator says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// λ.
    events_per_hour: f64,
    /// η.
    step: f64,
    /// z − start.
    offset: f64,
    /// The last alarms, the newest last.
    recent: VecDeque<Alarm>,
}

exact!(Controller { events_per_hour, step, offset, recent });

/// An alarm that the operator may judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alarm {
    number: u64,
    /// By how much it raised z.
    raised: f64,
    taken_back: bool,
}

exact!(Alarm { number, raised, taken_back });

impl Controller {
    /// A controller for λ = `events_per_hour`, 0.01 to 3600. `scale` is σ, the scale of the score's tail, above 0
    /// and up to 10; [`CALIBRATED_SCALE`] where p is near the truth.
    ///
    /// # Errors
    /// If one is out of its range.
    pub fn new(events_per_hour: f64, scale: f64) -> Result<Self> {
        check_rate(events_per_hour)?;
        if !(scale > 0.0 && scale <= 10.0) {
            return Err(Error::config(
                format!("the scale of the score's tail is {scale}, expected above 0 and up to 10"),
                "run `calibrate` again",
            ));
        }
        Ok(Self { events_per_hour, step: STEP * scale, offset: 0.0, recent: VecDeque::new() })
    }

    /// z: a score above it is an alarm.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        -(self.events_per_hour / BLOCKS_PER_HOUR).log10() + self.offset
    }

    /// z − start: what alarms have taught, −0.3 to 4.
    #[must_use]
    pub fn offset(&self) -> f64 {
        self.offset
    }

    /// λ, in alarms an hour.
    #[must_use]
    pub fn events_per_hour(&self) -> f64 {
        self.events_per_hour
    }

    /// The next block of 1 s. `alarm` is the number of the alarm in it (of the first, if there are more), by which
    /// the operator may judge it later. A block that is not `usable` does not count.
    pub fn push(&mut self, usable: bool, alarm: Option<u64>) {
        if !usable {
            return;
        }
        let fall = self.step * self.events_per_hour / BLOCKS_PER_HOUR;
        let quiet = within(self.offset - fall);
        let Some(number) = alarm else {
            self.offset = quiet;
            return;
        };
        self.offset = within(self.offset - fall + self.step);
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(Alarm { number, raised: self.offset - quiet, taken_back: false });
    }

    /// The operator's verdict on an alarm. `Anomaly` takes back what the alarm did to the threshold; `Normal`
    /// lets it count, as it does by itself. Only a change of mind has an effect. False if the alarm is not among
    /// the last 256.
    pub fn judge(&mut self, number: u64, verdict: Verdict) -> bool {
        let Some(alarm) = self.recent.iter_mut().rev().find(|alarm| alarm.number == number) else {
            return false;
        };
        let take_back = verdict == Verdict::Anomaly;
        if alarm.taken_back != take_back {
            alarm.taken_back = take_back;
            let change = if take_back { -alarm.raised } else { alarm.raised };
            self.offset = within(self.offset + change);
        }
        true
    }

    /// Forgets half of what alarms have taught: for a score that was itself calibrated anew since.
    pub fn forget_half(&mut self) {
        self.offset /= 2.0;
    }

    /// Changes λ. What was learnt stays: start moves, z − start does not.
    ///
    /// # Errors
    /// If it is not 0.01 to 3600; nothing has changed then.
    pub fn set_rate(&mut self, events_per_hour: f64) -> Result<()> {
        check_rate(events_per_hour)?;
        self.events_per_hour = events_per_hour;
        Ok(())
    }

    /// Whether this could have come about by the functions above.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        check_rate(self.events_per_hour).is_ok()
            && self.step > 0.0
            && self.step <= STEP * 10.0
            && self.offset == within(self.offset)
            && self.recent.len() <= REMEMBERED
            && self.recent.iter().all(|alarm| (0.0..=self.step * 1.001).contains(&alarm.raised))
    }
}

/// One token: the unit in which a bucket counts, so fine that a frame's share of it is a whole number.
const TOKEN: u64 = 1_000_000_000_000;
/// Tokens in a full bucket.
const BURST: u64 = 3;

/// The hard cap on alarms reported: a bucket of 3 tokens, full at the start, into which `cap_factor`·λ fall an hour.
///
/// In any T hours at most 3 + `cap_factor`·λ·T alarms are admitted, severe ones not counted. It counts in whole
/// numbers: how frames are grouped makes no difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBucket {
    /// What is in it, in units of 1e-12 tokens.
    level: u64,
    /// What a frame adds, in the same units.
    refill: u64,
    /// Alarms refused since the start.
    refused: u64,
}

exact!(TokenBucket { level, refill, refused });

impl TokenBucket {
    /// A full bucket for λ = `events_per_hour`, 0.01 to 3600, and `cap_factor` 1 to 100.
    ///
    /// # Errors
    /// If one is out of its range.
    pub fn new(cap_factor: f64, events_per_hour: f64) -> Result<Self> {
        let refill = refill(cap_factor, events_per_hour)?;
        Ok(Self { level: BURST * TOKEN, refill, refused: 0 })
    }

    /// Lets `frames` of 10 ms of sound pass.
    pub fn advance(&mut self, frames: u64) {
        self.level = self.level.saturating_add(self.refill.saturating_mul(frames)).min(BURST * TOKEN);
    }

    /// Whether an alarm may be reported. A severe one (p < q/100) always may, and takes no token; another takes one,
    /// or is refused and counted.
    pub fn admit(&mut self, severe: bool) -> bool {
        if severe {
            return true;
        }
        let Some(rest) = self.level.checked_sub(TOKEN) else {
            self.refused = self.refused.saturating_add(1);
            return false;
        };
        self.level = rest;
        true
    }

    /// Alarms refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Alarms that would be admitted now, 0 to 3.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.level / TOKEN
    }

    /// Changes λ and the factor; what is in the bucket stays.
    ///
    /// # Errors
    /// As [`TokenBucket::new`]; nothing has changed then.
    pub fn set_rate(&mut self, cap_factor: f64, events_per_hour: f64) -> Result<()> {
        self.refill = refill(cap_factor, events_per_hour)?;
        Ok(())
    }

    /// Whether this could have come about by the functions above.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.level <= BURST * TOKEN && (1..=TOKEN).contains(&self.refill)
    }
}

fn refill(cap_factor: f64, events_per_hour: f64) -> Result<u64> {
    check_rate(events_per_hour)?;
    if !(1.0..=100.0).contains(&cap_factor) {
        return Err(Error::config(
            format!("the cap on alarms is {cap_factor} times the budget, expected 1 to 100 times"),
            "set it to a number from 1 to 100",
        ));
    }
    let frames_per_hour = BLOCKS_PER_HOUR * f64::from(FRAME_RATE);
    Ok((cap_factor * events_per_hour / frames_per_hour * TOKEN as f64).round() as u64)
}

fn check_rate(events_per_hour: f64) -> Result<()> {
    if (0.01..=3600.0).contains(&events_per_hour) {
        return Ok(());
    }
    Err(Error::config(
        format!("the budget is {events_per_hour} events an hour, expected 0.01 to 3600"),
        "set events_per_hour in [detect] to a number from 0.01 to 3600",
    ))
}

fn within(offset: f64) -> f64 {
    let (low, high) = OFFSET_RANGE;
    offset.clamp(low, high)
}

#[cfg(test)]
mod tests;
