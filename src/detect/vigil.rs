//! The watch over one calibrated stream: what becomes of a frame's probability.
//!
//! ```text
//! p ─▶ Recalibrated ─▶ p' ─▶ Gate at the controller's threshold ─▶ alarm ─▶ TokenBucket ─▶ told
//! └▶ Maxima (4 h) ─ once an hour ─┘            ▲ Controller ◀── one alarm a block, told or refused
//! ```

use serde::{Deserialize, Serialize};

use super::budget::{CALIBRATED_SCALE, Controller, TokenBucket};
use super::config::DetectConfig;
use super::episode::{Episode, Scored};
use super::gate::{Change, Gate, Rules};
use super::maxima::{Maxima, Recalibrated};
use super::state::WatchState;
use crate::error::Result;
use crate::units::FRAME_RATE;

/// Number of alarms that were not told, and that nobody can judge.
const UNTOLD: u64 = u64::MAX;

/// What watching has taught about one calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learnt {
    pub(crate) controller: Controller,
    pub(crate) recalibrated: Recalibrated,
    pub(crate) maxima: Maxima,
}

impl Learnt {
    /// Nothing yet.
    pub(crate) fn new(config: &DetectConfig) -> Result<Self> {
        Ok(Self {
            controller: Controller::new(config.events_per_hour, CALIBRATED_SCALE)?,
            recalibrated: Recalibrated::default(),
            maxima: Maxima::default(),
        })
    }

    /// Whether this could have come about by watching.
    pub(crate) fn is_whole(&self) -> bool {
        self.controller.is_whole() && self.recalibrated.is_whole() && self.maxima.is_whole()
    }
}

/// What became of the alarm of the event that is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was told.
    Told,
    /// It was not, and is as soon as the event is severe.
    Withheld,
}

/// Whether an alarm counts against the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    No,
    /// At the end of the block.
    Due,
    Done,
}

/// What is known of the event that is going on, beside its [`Episode`].
#[derive(Debug, Clone)]
struct Running {
    /// The block in which it began.
    block: u64,
    /// Its number if it was told.
    number: u64,
    fate: Fate,
    count: Count,
    severe: bool,
}

/// A block of 100 usable frames, gaps between them or not.
#[derive(Debug, Clone, Default)]
struct Block {
    frames: u32,
    /// Highest −log10 p under the calibration.
    highest: f64,
    /// The ordinary alarm in it.
    alarm: Option<u64>,
    /// First and last of the blocks that its events keep from the maxima.
    left_out: Option<(u64, u64)>,
}

impl Block {
    fn leave_out(&mut self, first: u64, last: u64) {
        let (a, b) = self.left_out.unwrap_or((first, last));
        self.left_out = Some((a.min(first), b.max(last)));
    }
}

/// Gate, budget and cap of one watched stream.
///
/// *Tiers.* Severe is p' < q/100, q the budget per block and p' the probability in force: the offset that the
/// controller has learnt does not enter, so that a stream with many alarms does not grow deaf. A severe alarm is told
/// whatever the cap says, and does not push the threshold. An event becomes severe when its smallest p' does: one
/// that was withheld is told then, and one that had counted is taken back.
///
/// *Maxima.* An ordinary alarm counts as false until the operator says otherwise, and its block stays among the
/// maxima: if it were left out, the tail would end at the threshold and each fit would find more of what is normal
/// improbable. The further blocks of a long event are left out, and of a severe one all, with a second on either side.
#[derive(Debug, Clone)]
pub(crate) struct Vigil {
    base: Rules,
    gate: Gate,
    pub(crate) learnt: Learnt,
    bucket: TokenBucket,
    /// Alarms that the bucket had refused when it was restored.
    capped_before: u64,
    block: Block,
    running: Option<Running>,
}

impl Vigil {
    /// A watch over a stream of which only the calibration is known.
    pub(crate) fn new(config: &DetectConfig) -> Result<Self> {
        let base = Rules::new(config);
        Ok(Self {
            base,
            gate: Gate::new(base),
            learnt: Learnt::new(config)?,
            bucket: TokenBucket::new(config.cap_factor, config.events_per_hour)?,
            capped_before: 0,
            block: Block::default(),
            running: None,
        })
    }

    /// What is worth keeping. `number` is that of the next event.
    pub(crate) fn snapshot(&self, number: u64) -> WatchState {
        WatchState { learnt: self.learnt.clone(), bucket: self.bucket.clone(), number }
    }

    /// Goes on with what was kept, at the budget of `config`. False, and nothing has changed, if it is damaged.
    pub(crate) fn restore(&mut self, known: WatchState, config: &DetectConfig) -> Result<bool> {
        let WatchState { learnt, bucket, .. } = known;
        if !(learnt.is_whole() && bucket.is_whole()) {
            return Ok(false);
        }
        self.capped_before = bucket.refused();
        (self.learnt, self.bucket) = (learnt, bucket);
        self.set_rate(config)?;
        Ok(true)
    }

    /// Time passes: 10 ms, heard or not.
    pub(crate) fn tick(&mut self) {
        self.bucket.advance(1);
    }

    /// The next frame with its p under the calibration, which gives way to the one in force. `number` is that of the
    /// next event that is told. Gives the change that is to be told.
    pub(crate) fn push(&mut self, scored: &mut Scored, number: u64) -> Option<Change> {
        self.block.highest = self.block.highest.max(scored.score);
        scored.p = self.learnt.recalibrated.p(scored.p);
        scored.score = (-scored.p.log10()).max(0.0);
        let told = match self.gate.push(scored) {
            Some(Change::Began) => {
                self.running = Some(Running {
                    block: self.learnt.maxima.blocks(),
                    number,
                    fate: Fate::Withheld,
                    count: Count::No,
                    severe: false,
                });
                self.decide(true)
            }
            None => self.decide(false),
            Some(Change::Ended(episode)) => self.end(episode),
        };
        self.block.frames += 1;
        if self.block.frames >= FRAME_RATE {
            self.end_block();
        }
        told
    }

    /// Breaks off: the event that is going on ends, if it was told.
    pub(crate) fn finish(&mut self) -> Option<Episode> {
        let ended = self.gate.finish();
        self.gate = Gate::new(self.rules());
        match self.end(ended?) {
            Some(Change::Ended(episode)) => Some(episode),
            _ => None,
        }
    }

    /// Sets the budget; what was learnt stays.
    pub(crate) fn set_rate(&mut self, config: &DetectConfig) -> Result<()> {
        self.learnt.controller.set_rate(config.events_per_hour)?;
        self.bucket.set_rate(config.cap_factor, config.events_per_hour)?;
        self.base = Rules::new(config);
        self.gate.set_rules(self.rules());
        Ok(())
    }

    /// The event that is going on and was told.
    pub(crate) fn episode(&self) -> Option<&Episode> {
        let told = self.running.as_ref().is_some_and(|running| running.fate == Fate::Told);
        self.gate.episode().filter(|_| told)
    }

    /// Below this p an event is severe.
    pub(crate) fn severe_below(&self) -> f64 {
        self.base.severe_below()
    }

    /// Alarms that the cap refused since this was made.
    pub(crate) fn capped(&self) -> u64 {
        self.bucket.refused() - self.capped_before
    }

    fn rules(&self) -> Rules {
        self.base.at(self.learnt.controller.threshold())
    }

    /// What becomes of the alarm of the event that is going on, if that changes now.
    fn decide(&mut self, began: bool) -> Option<Change> {
        let severe = self.gate.episode()?.peak_p() < self.base.severe_below();
        let running = self.running.as_mut()?;
        if severe && !running.severe {
            running.severe = true;
            match std::mem::replace(&mut running.count, Count::No) {
                Count::No => {}
                Count::Due => self.block.alarm = None,
                Count::Done => {
                    let number = if running.fate == Fate::Told { running.number } else { UNTOLD };
                    self.learnt.controller.judge(number, super::Verdict::Anomaly);
                }
            }
        }
        if running.fate == Fate::Told || !(began || severe) {
            return None;
        }
        if self.bucket.admit(severe) {
            running.fate = Fate::Told;
        }
        if !severe {
            running.count = Count::Due;
            self.block.alarm = Some(if running.fate == Fate::Told { running.number } else { UNTOLD });
        }
        (running.fate == Fate::Told).then_some(Change::Began)
    }

    fn end(&mut self, episode: Episode) -> Option<Change> {
        let running = self.running.take()?;
        self.leave_out(&running);
        (running.fate == Fate::Told).then_some(Change::Ended(episode))
    }

    /// Notes which blocks an event keeps from the maxima.
    fn leave_out(&mut self, running: &Running) {
        let now = self.learnt.maxima.blocks();
        if running.severe {
            self.block.leave_out(running.block.saturating_sub(1), now + 1);
        } else if now > running.block {
            self.block.leave_out(now, now);
        }
    }

    fn end_block(&mut self) {
        if let Some(running) = self.running.take() {
            self.leave_out(&running);
            let count = if running.count == Count::Due { Count::Done } else { running.count };
            self.running = Some(Running { count, ..running });
        }
        let block = std::mem::take(&mut self.block);
        let Learnt { controller, recalibrated, maxima } = &mut self.learnt;
        controller.push(true, block.alarm);
        maxima.push(block.highest);
        if let Some((first, last)) = block.left_out {
            maxima.leave_out(first..=last);
        }
        if let Some(tail) = maxima.refit() {
            recalibrated.renew(tail);
            controller.forget_half();
        }
        self.gate.set_rules(self.rules());
    }
}

#[cfg(test)]
mod tests;
