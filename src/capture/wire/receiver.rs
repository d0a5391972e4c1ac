//! The receiver of PCM bytes from a network, which writes to the rings.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::intake::Intake;
use super::super::link::{SourceChange, SourceLink};
use super::super::pcm::{PcmForm, decode};
use super::super::rate::{RateCheck, RateStatus, TOLERANCE};
use super::super::timeline::Timeline;

/// How far sound may be ahead of real time before it waits for room in the ring.
const AHEAD: Duration = Duration::from_millis(250);
/// Web streams are paced this much faster than real time, so that they do not lag behind a server with a faster clock.
const PACE: f64 = 1.002;
/// Frames that are given at a time where they are paced, as a part of a second.
const PACED_S: f64 = 0.1;

/// The pace of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As it arrives; samples that find the ring full are lost.
    AsItComes,
    /// As it arrives; sound ahead of real time waits for room, and the sender with it.
    Waits,
    /// In real time, however it arrives.
    RealTime,
}

/// Converts bytes to samples, and times without bytes to gaps.
pub(super) struct PcmReceiver<'a> {
    form: PcmForm,
    intake: Intake,
    link: &'a SourceLink,
    timeline: Timeline,
    rate: Option<RateCheck>,
    /// Bytes of an incomplete frame.
    bytes: Vec<u8>,
    samples: Vec<f32>,
    /// When the connection gave its first sound, and frames since then.
    begun: Option<(Instant, u64)>,
    /// When the next frame is due, where sound is paced.
    due: Option<Instant>,
    /// Bytes of the last datagram that was no whole frames.
    cut: Option<usize>,
}

impl<'a> PcmReceiver<'a> {
    /// `measured` where the sender could have another rate than the one in `form`.
    pub(super) fn new(form: PcmForm, intake: Intake, link: &'a SourceLink, measured: bool) -> Self {
        Self {
            form,
            intake,
            link,
            timeline: Timeline::default(),
            rate: measured.then(RateCheck::default),
            bytes: Vec::new(),
            samples: Vec::new(),
            begun: None,
            due: None,
            cut: None,
        }
    }

    /// What follows is of another sender: the time since the last sound is a gap, and what is no whole frame yet never becomes
    /// one. Gives the bytes of that.
    pub(super) fn begin(&mut self) -> usize {
        self.pause();
        let rest = self.bytes.len();
        self.refuse(rest);
        self.bytes.clear();
        rest
    }

    /// What follows comes after a pause of the same sender, whose frames go on where they were: the time since the last sound
    /// is a gap.
    pub(super) fn pause(&mut self) {
        self.timeline.reopened(self.form.rate);
        if let Some(rate) = &mut self.rate {
            rate.opened(self.form.rate);
        }
        (self.begun, self.due, self.cut) = (None, None, None);
    }

    /// So much time is missing between frames that came.
    pub(super) fn mark_missing(&mut self, time: Duration) {
        self.intake.mark_gap((time.as_secs_f64() * f64::from(self.form.rate)).round() as u64);
    }

    fn refuse(&self, bytes: usize) {
        self.link.counters.bytes_refused.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The reason of refused datagrams.
    pub(super) fn complaint(&self) -> Option<String> {
        let PcmForm { channels, format, .. } = self.form;
        let frame = self.form.frame_bytes();
        self.cut.map(|size| {
            format!(
                "datagrams of {size} bytes are refused: they do not hold whole frames of {frame} bytes ({channels} channels \
                 of {format:?}); let the sender cut them at frames (with ffmpeg: ?pkt_size={})",
                1472 / frame * frame
            )
        })
    }

    /// Takes a datagram: whole frames, or nothing of it. Gives the number of frames.
    pub(super) fn take_datagram(&mut self, datagram: &[u8], pace: Pace) -> usize {
        if !datagram.len().is_multiple_of(self.form.frame_bytes()) {
            self.refuse(datagram.len());
            if self.cut.replace(datagram.len()).is_none()
                && let Some(complaint) = self.complaint()
            {
                tracing::warn!("{}: {complaint}", self.link.source);
            }
            return 0;
        }
        self.bytes.clear();
        self.take(datagram, pace)
    }

    /// Whether a frame is whole once `piece` is taken.
    pub(super) fn completes_a_frame(&self, piece: &[u8]) -> bool {
        self.bytes.len() + piece.len() >= self.form.frame_bytes()
    }

    /// Takes the next bytes of a connection. Gives the number of frames that are whole with them.
    pub(super) fn take(&mut self, piece: &[u8], pace: Pace) -> usize {
        self.bytes.extend_from_slice(piece);
        let frame = self.form.frame_bytes();
        let frames = self.bytes.len() / frame;
        if frames == 0 {
            return 0;
        }
        let mut samples = std::mem::take(&mut self.samples);
        decode(self.bytes.get(..frames * frame).unwrap_or_default(), self.form.format, &mut samples);
        self.bytes.drain(..frames * frame);
        if pace == Pace::RealTime {
            let step =
                ((f64::from(self.form.rate) * PACED_S) as usize).max(1) * usize::from(self.form.channels);
            for piece in samples.chunks(step) {
                if !self.wait_for(piece) {
                    break;
                }
            }
        } else {
            self.measure(frames);
            self.give(&samples, Instant::now(), pace);
        }
        self.samples = samples;
        frames
    }

    fn length(&self, samples: usize) -> Duration {
        let frames = samples / usize::from(self.form.channels);
        Duration::from_secs_f64(frames as f64 / f64::from(self.form.rate.max(1)))
    }

    /// Gives samples when they are due; false when the source is to stop.
    fn wait_for(&mut self, samples: &[f32]) -> bool {
        let (now, length) = (Instant::now(), self.length(samples.len()));
        // late sound restarts the count, so that no burst follows it
        let due = self.due.filter(|&due| due + AHEAD >= now).unwrap_or(now);
        if !self.link.sleep_until(due) {
            return false;
        }
        self.due = Some(due + length.div_f64(PACE));
        self.give(samples, Instant::now(), Pace::Waits);
        true
    }

    /// Writes samples of which the last was captured `now`.
    fn give(&mut self, samples: &[f32], now: Instant, pace: Pace) {
        let length = self.length(samples.len());
        let captured = now.checked_sub(length).unwrap_or(now);
        let frames = samples.len() / usize::from(self.form.channels);
        let lost = self.timeline.arrived(frames, Duration::ZERO, captured, false);
        if lost > 0 {
            self.intake.mark_gap(lost);
        }
        let (begun, given) = self.begun.get_or_insert((captured, 0));
        *given += frames as u64;
        let sound = Duration::from_secs_f64(*given as f64 / f64::from(self.form.rate.max(1)));
        let is_ahead = *begun + sound > now + AHEAD;
        self.intake.anchor(captured);
        if pace == Pace::Waits && is_ahead {
            let _ = self.intake.take_blocking(samples, || !self.link.stopping());
        } else {
            self.intake.take(samples);
        }
    }

    /// Compares the samples that come with the clock. They are not resampled, as those of a device are: what is off by
    /// much is a wrong form rather than a wrong clock.
    fn measure(&mut self, frames: usize) {
        let nominal = self.form.rate;
        let verdict = self.rate.as_mut().and_then(|rate| rate.arrived(frames, Instant::now(), false));
        let Some(RateStatus::Correct(hz) | RateStatus::Refuse(hz)) = verdict else { return };
        let off = (f64::from(hz) / f64::from(nominal) - 1.0).abs() > TOLERANCE;
        let measured = if off { hz } else { 0 };
        self.link.counters.configured_hz.store(nominal, Ordering::Relaxed);
        let known = self.link.counters.measured_hz.swap(measured, Ordering::Relaxed);
        if off && known == 0 {
            self.link.notify(SourceChange::RateOff { nominal, measured });
        }
    }
}
