//! The watch over one calibrated stream: what becomes of a frame's probability.
//!
//! ```text
//! p ─▶ Recalibrated ─▶ p' ─▶ Gate at the controller's threshold ─▶ alarm ─▶ TokenBucket ─▶ reported
//! └▶ Maxima (4 h) ─ within hours ─┘            ▲ Controller ◀── one alarm a block, reported or refused
//! ```

use super::budget::TokenBucket;
use super::change_detector::{CHANGED_BLOCKS, Medians, cusum_increment};
use super::config::DetectConfig;
use super::gate::{Change, Gate, Rules};
use super::known_normal::KnownNormal;
use super::latent_mean::POOL_FRAMES;
use super::learnt::{Learnt, PreviousCalibration};
use super::maxima::Refit;
use super::ongoing_event::{OngoingEvent, ScoredFrame};
use super::reading::DetectorCounts;
use super::recurring::{Extent, Repeat};
use super::state::WatchState;
use super::terms::AdaptiveState;
use crate::detect::exact::exact;
use crate::error::Result;
use crate::event::Verdict;
use crate::units::FRAME_RATE;

mod decision;
mod running;

use running::{AlarmFate, Count, Running, UNREPORTED};
pub(crate) use running::{Block, Decision};

/// Gate, budget, cap and memory of one watched stream.
///
/// *Tiers.* Severe is p' < q/100, q the budget per block and p' the probability in force: the offset that the
/// controller has learnt does not enter, so that a stream with many alarms does not grow deaf. A severe alarm is reported
/// whatever the cap says, unless the site is changing, and does not push the threshold. An event becomes severe when its smallest p' does: one
/// that was withheld is reported then, and one that had counted is taken back.
///
/// *Maxima.* An ordinary alarm counts as false until the operator says otherwise, and its block stays among the
/// maxima: if it were left out, the tail would end at the threshold and each fit would find more of what is normal
/// improbable. The further blocks of a long event are left out, and of a severe one all, with a second on either side.
///
/// *Change of the site.* Where the median over 1 s of the probability that hours have taught, or else the calibration, stays below
/// 0.001 for a minute, or that of its novelty low
/// ([`cusum_increment`]), or an event is cut for its length, and the budget is held, ordinary alarms rest until
/// [`thaw`](Self::thaw) or [`adopt`](Self::adopt), and nothing is learnt.
///
/// *Known sounds.* What the operator has declared normal is not reported again, severe or not; what was reported three times within
/// 24 hours of the stream is reported once in `repeat_after_s`, and counts neither against the budget nor the cap. Both are reported as anything
/// else where they go far beyond what they were ([`Extent::exceeds`](super::recurring::Extent::exceeds)). Once there is
/// any such sound, alarms wait for 250 ms, because the pooled z of an onset is still that of the background.
#[derive(Debug, Clone)]
pub(crate) struct AlarmController {
    base: Rules,
    /// Whether the budget is held online; else the calibrated threshold stays, and nothing is capped.
    held: bool,
    /// Frames after which a frequent sound is reported again; none where it always is.
    repeat_after: Option<u64>,
    /// Frames over which z is pooled.
    window: u64,
    gate: Gate,
    pub(crate) learnt: Learnt,
    bucket: TokenBucket,
    /// Alarms that the bucket had refused when it was restored.
    capped_before: u64,
    block: Block,
    running: Option<Running>,
    declared: KnownNormal,
    medians: Medians,
    /// Evidence of another site, a sum of [`cusum_increment`].
    changed: f64,
    frozen: bool,
    /// The site has changed, and the caller has not asked yet.
    regime: bool,
    counts: DetectorCounts,
}

exact!(AlarmController {
    base,
    held,
    repeat_after,
    window,
    gate,
    learnt,
    bucket,
    capped_before,
    block,
    running,
    declared,
    medians,
    changed,
    frozen,
    regime,
    counts
});

impl AlarmController {
    /// A watch over a stream of which only the calibration is known.
    pub(crate) fn new(config: &DetectConfig) -> Result<Self> {
        let base = Rules::new(config);
        Ok(Self {
            base,
            held: config.hold_budget,
            repeat_after: config.repeat_after(),
            window: POOL_FRAMES,
            gate: Gate::new(base),
            learnt: Learnt::new(config)?,
            bucket: TokenBucket::new(config.cap_factor, config.events_per_hour)?,
            capped_before: 0,
            block: Block::default(),
            running: None,
            declared: KnownNormal::default(),
            medians: Medians::default(),
            changed: 0.0,
            frozen: false,
            regime: false,
            counts: DetectorCounts::default(),
        })
    }

    /// What is worth keeping. `number` is that of the next event.
    pub(crate) fn snapshot(
        &self,
        number: u64,
        former: Vec<PreviousCalibration>,
        adaptive: AdaptiveState,
    ) -> WatchState {
        WatchState {
            learnt: self.learnt.clone(),
            adaptive,
            block: self.block.clone(),
            bucket: self.bucket.clone(),
            declared: self.declared.clone(),
            former,
            number,
        }
    }

    /// Goes on with what was kept, at the budget of `config`. False, and nothing has changed, if it is damaged.
    pub(crate) fn restore(&mut self, known: WatchState, config: &DetectConfig) -> Result<bool> {
        let WatchState { learnt, bucket, declared, block, .. } = known;
        if !(learnt.is_whole() && bucket.is_whole() && declared.is_whole() && block.is_whole()) {
            return Ok(false);
        }
        self.capped_before = bucket.refused();
        (self.learnt, self.bucket, self.declared, self.block) = (learnt, bucket, declared, block);
        self.set_rate(config)?;
        Ok(true)
    }

    /// Goes on with what was learnt under another calibration; gives what was learnt under the present one.
    pub(crate) fn adopt(&mut self, learnt: Learnt, config: &DetectConfig) -> Learnt {
        let before = std::mem::replace(&mut self.learnt, learnt);
        // a budget that was valid before is valid here
        let _ = self.learnt.controller.set_rate(config.events_per_hour);
        self.declared.move_on();
        (self.block, self.running) = (Block::default(), None);
        self.gate = Gate::new(self.rules());
        self.thaw();
        before
    }

    /// Ordinary alarms are reported again.
    pub(crate) fn thaw(&mut self) {
        (self.frozen, self.regime, self.changed, self.medians) = (false, false, 0.0, Medians::default());
        self.gate.set_rules(self.rules());
    }

    /// Whether the site has changed; once.
    pub(crate) fn takes_regime_change(&mut self) -> bool {
        std::mem::take(&mut self.regime)
    }

    /// The operator's verdict on event `number`; false if that is not known any more.
    pub(crate) fn judge(&mut self, number: u64, verdict: Verdict) -> bool {
        let counted = number != UNREPORTED && self.learnt.controller.judge(number, verdict);
        if let Some(running) =
            self.running.as_ref().filter(|r| r.fate == AlarmFate::Reported && r.number == number)
        {
            let now = self.learnt.maxima.blocks();
            self.declared.remember(number, running.window(), (running.block, now), running.extent);
        }
        let remembered = self.declared.judge(number, verdict);
        if let (Verdict::Anomaly, Some(Some((first, last)))) = (verdict, remembered) {
            self.learnt.maxima.leave_out(first.saturating_sub(1)..=last + 1);
        }
        counted || remembered.is_some()
    }

    /// Time passes: 10 ms, received or not.
    pub(crate) fn tick(&mut self) {
        self.bucket.advance(1);
        self.declared.advance();
    }

    /// The next frame with its p under the calibration, which gives way to the one in force. `window` is the pooled z
    /// where that is fresh; `number` is that of the next event that is reported.
    pub(crate) fn push(&mut self, scored: &mut ScoredFrame, window: Option<&[f32]>, number: u64) -> Decision {
        self.block.highest = self.block.highest.max(scored.score);
        let p_of_site = self.learnt.recalibrated.p_of_site(scored.p);
        scored.p = self.learnt.recalibrated.p(scored.p);
        scored.score = (-scored.p.log10()).max(0.0);
        let mut decision = Decision::default();
        match self.gate.push(scored) {
            Some(Change::Ended(episode)) => {
                let known = self
                    .running
                    .as_ref()
                    .is_some_and(|it| matches!(it.fate, AlarmFate::Known | AlarmFate::Repeat));
                decision = self.end(*episode, number);
                if self.gate.is_exhausted() && !known {
                    decision.regime = self.change_regime();
                }
            }
            Some(Change::Began) => self.running = Some(Running::new(self.learnt.maxima.blocks())),
            None => {}
        }
        if let Some(window) = window {
            self.look_at(window, scored.p);
        }
        if let Some(running) = &mut self.running {
            let kind = self.gate.episode().map_or(running.extent.kind, OngoingEvent::kind);
            let now = Extent { novelty: scored.novelty, score: scored.score, kind };
            running.extent = running.extent.max(now);
        }
        decision.began |= self.running.is_some() && self.decide(number, false);
        decision.graver = self.running.as_mut().is_some_and(|it| std::mem::take(&mut it.graver));
        if let Some(middle) = self.medians.push(p_of_site) {
            self.changed = (self.changed + cusum_increment(middle, scored.p_place)).max(0.0);
            if self.changed > f64::from(CHANGED_BLOCKS)
                && decision == Decision::default()
                && self.change_regime()
            {
                decision = self.gate.cut().map(|episode| self.end(episode, number)).unwrap_or_default();
                decision.regime = true;
            }
        }
        self.block.frames += 1;
        if self.block.frames >= FRAME_RATE {
            self.end_block();
        }
        decision
    }

    /// Breaks off: the event that is going on ends.
    pub(crate) fn finish(&mut self, number: u64) -> Decision {
        let ended = self.gate.finish();
        self.gate = Gate::new(self.rules());
        ended.map(|episode| self.end(episode, number)).unwrap_or_default()
    }

    /// Sets the budget; what was learnt stays.
    pub(crate) fn set_rate(&mut self, config: &DetectConfig) -> Result<()> {
        self.learnt.controller.set_rate(config.events_per_hour)?;
        self.bucket.set_rate(config.cap_factor, config.events_per_hour)?;
        self.base = Rules::new(config);
        self.repeat_after = config.repeat_after();
        self.gate.set_rules(self.rules());
        Ok(())
    }

    /// The event that is going on, reported or not.
    pub(crate) fn ongoing(&self) -> Option<&OngoingEvent> {
        self.gate.episode()
    }

    /// The event that is going on and was reported.
    pub(crate) fn episode(&self) -> Option<&OngoingEvent> {
        let reported = self.running.as_ref().is_some_and(|running| running.fate == AlarmFate::Reported);
        self.gate.episode().filter(|_| reported)
    }

    /// What is known of the sound of the event that is going on and was reported.
    pub(crate) fn repeat(&self) -> Option<Repeat> {
        self.running.as_ref().filter(|running| running.fate == AlarmFate::Reported)?.repeat
    }

    /// Below this p an event is severe.
    pub(crate) fn severe_below(&self) -> f64 {
        self.base.severe_below()
    }

    /// What was done besides events since this was made.
    pub(crate) fn counts(&self) -> DetectorCounts {
        DetectorCounts { capped: self.bucket.refused() - self.capped_before, ..self.counts }
    }

    /// Of the gate: while the site changes, only what is severe begins an event.
    fn rules(&self) -> Rules {
        match (self.frozen, self.held) {
            (true, _) => self.base.at(f64::INFINITY),
            (false, true) => self.base.at(self.learnt.controller.threshold()),
            (false, false) => self.base,
        }
    }

    /// Ordinary alarms rest from here on; false where they do already, or where the threshold is to stay.
    fn change_regime(&mut self) -> bool {
        if self.frozen || !self.held {
            return false;
        }
        (self.frozen, self.regime) = (true, true);
        self.gate.set_rules(self.rules());
        self.counts.regimes += 1;
        let now = self.learnt.maxima.blocks();
        let Learnt { maxima, recalibrated, .. } = &mut self.learnt;
        maxima.leave_out(now.saturating_sub(u64::from(CHANGED_BLOCKS) + 1)..=now);
        if recalibrated.is_early() {
            recalibrated.renew(maxima.early());
        }
        true
    }

    fn end_block(&mut self) {
        if let Some(running) = self.running.take() {
            self.leave_out(&running);
            let count = if running.count == Count::Due { Count::Done } else { running.count };
            self.running = Some(Running { count, ..running });
        }
        let block = std::mem::take(&mut self.block);
        if self.frozen {
            return;
        }
        let Learnt { controller, recalibrated, maxima } = &mut self.learnt;
        controller.push(true, block.alarm);
        maxima.push(block.highest);
        if let Some((first, last)) = block.left_out {
            maxima.leave_out(first..=last);
        }
        if let Some(refit) = maxima.refit() {
            if matches!(refit, Refit::Hourly(_)) {
                controller.forget_half();
            }
            recalibrated.renew(refit);
        }
        self.gate.set_rules(self.rules());
    }
}

#[cfg(test)]
mod tests;
