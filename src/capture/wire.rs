//! Sound that comes over a network: raw PCM by TCP or UDP, cameras and web streams by way of ffmpeg.
//!
//! Such a source is live, as a device is: when it is gone or gives nothing it is offline and is tried again for ever, and
//! on its return the time away is a gap.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod address;
mod line;

use std::time::{Duration, Instant};

pub(super) use address::Address;
use line::{Arrival, Line};

use super::config::PcmForm;
use super::intake::Intake;
use super::source::{Change, Link};
use super::stdin::decode;
use super::timeline::Timeline;

/// Waits between attempts to open it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// Without sound for so long it is offline.
const SILENT: Duration = Duration::from_secs(2);

/// The life of such a source: open, listen, open again, until told to stop.
pub(super) fn run(address: &Address, form: PcmForm, mut intake: Intake, link: &Link) {
    let mut timeline = Timeline::default();
    let (mut told, mut wait) = (None::<String>, FIRST_RETRY);
    while !link.stopping() {
        let reason = match Line::open(address, form) {
            Ok(mut line) => {
                let mut ear = Ear {
                    form,
                    intake: &mut intake,
                    timeline: &mut timeline,
                    bytes: Vec::new(),
                    samples: Vec::new(),
                };
                let (heard, reason) = listen(&mut line, address, &mut ear, link, &mut told);
                if heard {
                    wait = FIRST_RETRY;
                }
                reason
            }
            Err(reason) => Some(reason),
        };
        let Some(reason) = reason else { return };
        tell_offline(link, &mut told, format!("{address}: {reason}"));
        link.sleep_until(Instant::now() + wait);
        wait = (wait * 2).min(LAST_RETRY);
    }
}

/// Takes what comes until the line is lost: whether anything came, and why it ended, or nothing where it is to stop.
fn listen(
    line: &mut Line,
    address: &Address,
    ear: &mut Ear<'_>,
    link: &Link,
    told: &mut Option<String>,
) -> (bool, Option<String>) {
    ear.timeline.reopened(ear.form.rate);
    let (mut any, mut heard) = (false, Instant::now());
    loop {
        if link.stopping() {
            return (any, None);
        }
        let waits = line.waits();
        match line.next() {
            Arrival::Sound { bytes, whole } => {
                heard = Instant::now();
                if !std::mem::replace(&mut any, true) || told.is_some() {
                    let PcmForm { rate, channels, format } = ear.form;
                    link.tell(Change::Online {
                        description: format!("{address} {rate} Hz {channels} ch {format:?}"),
                    });
                    *told = None;
                }
                ear.take(bytes, whole);
            }
            Arrival::Nothing if heard.elapsed() < SILENT => {}
            // whoever listens goes on listening; what was dialled is dialled again
            Arrival::Nothing if waits => {
                if any {
                    ear.timeline.reopened(ear.form.rate);
                    ear.bytes.clear();
                }
                tell_offline(link, told, format!("{address}: no sound for {} s", SILENT.as_secs()));
                heard = Instant::now();
            }
            Arrival::Nothing => return (any, Some(format!("no sound for {} s", SILENT.as_secs()))),
            Arrival::Lost(reason) => return (any, Some(reason)),
        }
    }
}

/// Makes samples of bytes, and gaps of time without any.
struct Ear<'a> {
    form: PcmForm,
    intake: &'a mut Intake,
    timeline: &'a mut Timeline,
    /// What is no whole frame yet.
    bytes: Vec<u8>,
    samples: Vec<f32>,
}

impl Ear<'_> {
    /// `whole`: the piece begins with a frame, whatever came before (a datagram).
    fn take(&mut self, piece: &[u8], whole: bool) {
        if whole {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(piece);
        let frame = self.form.format.bytes() * usize::from(self.form.channels);
        let (frames, now) = (self.bytes.len() / frame, Instant::now());
        if frames == 0 {
            return;
        }
        decode(self.bytes.get(..frames * frame).unwrap_or_default(), self.form.format, &mut self.samples);
        self.bytes.drain(..frames * frame);
        let length = Duration::from_secs_f64(frames as f64 / f64::from(self.form.rate.max(1)));
        let captured = now.checked_sub(length).unwrap_or(now);
        let lost = self.timeline.arrived(frames, Duration::ZERO, captured, false);
        if lost > 0 {
            self.intake.mark_gap(lost);
        }
        self.intake.anchor(captured);
        self.intake.take(&self.samples);
    }
}

/// Says once for each cause that the source is away.
pub(super) fn tell_offline(link: &Link, told: &mut Option<String>, reason: String) {
    if told.as_ref() != Some(&reason) {
        link.tell(Change::Offline { reason: reason.clone() });
        *told = Some(reason);
    }
}
