//! One opening of a device, from `open` to its loss.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{ErrorKind, InputCallbackInfo, SampleFormat, SizedSample, StreamInstant};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::super::config::CaptureConfig;
use super::super::intake::{Intake, Pcm};
use super::super::rate::{RateCheck, Verdict};
use super::super::source::{Change, Link};
use super::super::timeline::Timeline;
use super::form::{self, Form};
use crate::error::{Error, Result};
use crate::realtime;
use crate::ring::RATES;

/// A device that gives no sample for this long is reopened: a lost source does not always say so.
const SILENT: Duration = Duration::from_secs(2);
/// How often the session looks at what the callbacks report.
const LOOK: Duration = Duration::from_millis(50);
/// A look that is later than this says that the process stood still, not the device.
const STOPPED: Duration = Duration::from_secs(1);
/// Least time between two notices of overruns: a slow machine has many a second.
const NOTICES: Duration = Duration::from_secs(10);
/// ALSA's poll timeout: without one the audio thread may never end.
const POLL: Duration = Duration::from_millis(500);

/// What the audio callback owns, and hands back when the stream is dropped.
pub(super) struct Cargo {
    pub(super) intake: Intake,
    pub(super) timeline: Timeline,
    pub(super) rate: RateCheck,
}

/// Why a device is no source any more.
pub(super) struct Loss {
    pub(super) reason: String,
    /// It gives no steady rate; another opening would not mend that soon.
    pub(super) wrong_rate: bool,
}

/// What the callbacks report.
#[derive(Default)]
struct Report {
    callbacks: AtomicU64,
    xruns: AtomicU64,
    /// An xrun came since the last samples.
    xrun: AtomicBool,
    fault: OnceLock<String>,
    /// The rate that was measured, where it is not the nominal one, Hz.
    corrected: AtomicU32,
    /// The same where it is not steady.
    refused: AtomicU32,
    /// The kernel refuses a real-time priority.
    priority_refused: OnceLock<String>,
}

impl Report {
    fn error(&self, error: &cpal::Error) {
        match error.kind() {
            ErrorKind::Xrun => {
                self.xruns.fetch_add(1, Ordering::Relaxed);
                self.xrun.store(true, Ordering::Relaxed);
            }
            ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            // Anything else may come again at full speed until the stream is dropped: the first one counts.
            _ => {
                self.fault.get_or_init(|| failure("stopped", error).to_string());
            }
        }
    }
}

/// An error of cpal as ours.
pub(super) fn failure(what: &str, error: &cpal::Error) -> Error {
    let fix = match error.kind() {
        ErrorKind::DeviceBusy => "stop the other program that records from it, or use a dsnoop/default PCM",
        ErrorKind::PermissionDenied => "add this user to the group `audio`",
        ErrorKind::DeviceNotAvailable => "plug it in; `cpc-stream devices` lists what is there",
        ErrorKind::UnsupportedConfig => "try it as plughw: instead of hw:, which converts",
        _ => "run `cpc-stream devices`; replug it if it stays away",
    };
    Error::device(format!("the device {what}: {error}"), fix)
}

/// Gives the cargo back when the callback is dropped, on whatever thread that happens.
struct Lease {
    cargo: Option<Box<Cargo>>,
    home: Sender<Box<Cargo>>,
    report: Arc<Report>,
    /// To be asked for by the first callback, since a thread asks for itself.
    priority: u8,
}

impl Lease {
    fn take<T: Pcm>(&mut self, samples: &[T], info: &InputCallbackInfo) {
        if let Err(reason) = realtime::promote(std::mem::take(&mut self.priority)) {
            self.report.priority_refused.get_or_init(|| reason);
        }
        let Some(Cargo { intake, timeline, rate }) = self.cargo.as_deref_mut() else { return };
        let times = info.timestamp();
        let age = times.callback.checked_duration_since(times.capture).unwrap_or_default();
        let now = Instant::now();
        let captured = now.checked_sub(age).unwrap_or(now);
        let frames = samples.len() / intake.channels();
        let xrun = self.report.xrun.swap(false, Ordering::Relaxed);
        let lost = timeline.arrived(frames, since_zero(times.capture), captured, xrun);
        if lost > 0 {
            intake.mark_gap(lost);
        }
        intake.anchor(captured);
        intake.take(samples);
        match rate.arrived(frames, now, xrun || lost > 0) {
            Some(Verdict::Correct(hz)) if RATES.contains(&hz) => {
                timeline.corrected(hz);
                intake.correct(hz);
                self.report.corrected.store(hz, Ordering::Relaxed);
            }
            Some(Verdict::Correct(hz) | Verdict::Refuse(hz)) => {
                self.report.refused.store(hz, Ordering::Relaxed);
            }
            None => {}
        }
        self.report.callbacks.fetch_add(1, Ordering::Relaxed);
    }
}

fn since_zero(instant: StreamInstant) -> Duration {
    instant.checked_duration_since(StreamInstant::new(0, 0)).unwrap_or_default()
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(cargo) = self.cargo.take() {
            let _ = self.home.try_send(cargo);
        }
    }
}

impl Pcm for cpal::I24 {
    fn amplitude(self) -> f32 {
        self.inner() as f32 / 8_388_608.0
    }
}

pub(super) struct Session {
    stream: cpal::Stream,
    description: String,
    report: Arc<Report>,
    home: Receiver<Box<Cargo>>,
    nominal: u32,
}

/// A failed opening gives the cargo back, unless the audio thread hangs with it.
pub(super) type Opened<T, E = Error> = std::result::Result<T, (E, Option<Box<Cargo>>)>;

impl Session {
    pub(super) fn open(device: &cpal::Device, capture: &CaptureConfig, cargo: Box<Cargo>) -> Opened<Self> {
        let form = match form::choose(device, cargo.intake.channels_needed(), capture) {
            Ok(form) => form,
            Err(e) => return Err((e, Some(cargo))),
        };
        let priority = capture.realtime_priority;
        let mut built = Self::build(device, form, priority, cargo);
        if let Err((e, cargo @ Some(_))) = &mut built
            && e.kind() == ErrorKind::UnsupportedConfig
            && form.period.is_some()
            && let Some(cargo) = cargo.take()
        {
            built = Self::build(device, Form { period: None, ..form }, priority, cargo);
        }
        built.map_err(|(e, cargo)| (failure("cannot be opened", &e), cargo))
    }

    fn build(
        device: &cpal::Device,
        form: Form,
        priority: u8,
        mut cargo: Box<Cargo>,
    ) -> Opened<Self, cpal::Error> {
        let rate = cargo.rate.opened(form.rate);
        if let Err(e) = cargo.intake.expect(form.channels, rate) {
            return Err((cpal::Error::with_message(ErrorKind::InvalidInput, e.to_string()), Some(cargo)));
        }
        cargo.timeline.reopened(rate);
        let report = Arc::new(Report::default());
        let (away, home) = bounded(1);
        let lease = Lease { cargo: Some(cargo), home: away, report: Arc::clone(&report), priority };
        let built = match form.format {
            SampleFormat::I8 => stream::<i8>(device, form, lease),
            SampleFormat::U8 => stream::<u8>(device, form, lease),
            SampleFormat::I16 => stream::<i16>(device, form, lease),
            SampleFormat::U16 => stream::<u16>(device, form, lease),
            SampleFormat::I24 => stream::<cpal::I24>(device, form, lease),
            SampleFormat::I32 => stream::<i32>(device, form, lease),
            SampleFormat::F64 => stream::<f64>(device, form, lease),
            _ => stream::<f32>(device, form, lease),
        };
        match built.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => {
                let description = describe(device, form, &stream);
                Ok(Self { stream, description, report, home, nominal: form.rate })
            }
            Err(e) => Err((e, home.recv_timeout(SILENT).ok())),
        }
    }

    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Watches the callbacks until the device is lost (why) or the source is to stop (`None`).
    pub(super) fn watch(&self, link: &Link) -> Option<Loss> {
        let mut overruns = Overruns::default();
        let loss = self.watch_for(&mut overruns, link);
        overruns.tell(link);
        loss
    }

    fn watch_for(&self, overruns: &mut Overruns, link: &Link) -> Option<Loss> {
        let (mut callbacks, mut heard) = (0, Instant::now());
        let (mut warned, mut looked) = (false, Instant::now());
        let lost = |reason: String| Some(Loss { reason, wrong_rate: false });
        while link.sleep_until(Instant::now() + LOOK) {
            if looked.elapsed() > STOPPED {
                heard = Instant::now();
            }
            looked = Instant::now();
            if let Some(fault) = self.report.fault.get() {
                return lost(fault.clone());
            }
            if let Some(loss) = self.look_at_rate(link) {
                return Some(loss);
            }
            if let Some(reason) = self.report.priority_refused.get()
                && !std::mem::replace(&mut warned, true)
            {
                tracing::warn!("{}: no real-time priority for the audio thread: {reason}", link.source);
            }
            overruns.heed(self.report.xruns.load(Ordering::Relaxed), link);
            let now = self.report.callbacks.load(Ordering::Relaxed);
            if now != callbacks {
                (callbacks, heard) = (now, Instant::now());
            } else if heard.elapsed() > SILENT {
                return lost(format!("the device gave no sample for {} s", SILENT.as_secs()));
            }
        }
        None
    }

    fn look_at_rate(&self, link: &Link) -> Option<Loss> {
        let nominal = self.nominal;
        match self.report.corrected.swap(0, Ordering::Relaxed) {
            0 => {}
            measured => link.tell(Change::WrongRate { nominal, measured }),
        }
        let measured = self.report.refused.load(Ordering::Relaxed);
        (measured > 0).then(|| Loss {
            reason: format!(
                "the device says {nominal} Hz but gave {measured} samples in the last second measured, and it is not \
                 steady: try plughw: instead of hw:, another capture.rate_hz, or another USB port"
            ),
            wrong_rate: true,
        })
    }

    /// Ends the capture and gives the cargo back, unless the audio thread hangs with it.
    pub(super) fn close(self) -> Option<Box<Cargo>> {
        drop(self.stream);
        self.home.recv_timeout(SILENT).ok()
    }
}

/// Overruns: counted as they come, told at once, then at most every [`NOTICES`].
#[derive(Debug, Default)]
struct Overruns {
    counted: u64,
    told: u64,
    at: Option<Instant>,
}

impl Overruns {
    fn heed(&mut self, now: u64, link: &Link) {
        link.counters.xruns.fetch_add(now - self.counted, Ordering::Relaxed);
        self.counted = now;
        if self.at.is_none_or(|at| at.elapsed() >= NOTICES) {
            self.tell(link);
        }
    }

    fn tell(&mut self, link: &Link) {
        let count = self.counted - std::mem::replace(&mut self.told, self.counted);
        if count > 0 {
            link.tell(Change::Xrun { count });
            self.at = Some(Instant::now());
        }
    }
}

fn stream<T: SizedSample + Pcm>(
    device: &cpal::Device,
    form: Form,
    mut lease: Lease,
) -> Result<cpal::Stream, cpal::Error> {
    let report = Arc::clone(&lease.report);
    device.build_input_stream::<T, _, _>(
        form.stream_config(),
        move |samples, info| lease.take(samples, info),
        move |error| report.error(&error),
        Some(POLL),
    )
}

fn describe(device: &cpal::Device, form: Form, stream: &cpal::Stream) -> String {
    let id = device.id().map_or_else(|_| "?".into(), |id| id.id().to_owned());
    let name = device.description().map_or_else(|_| String::new(), |d| d.name().to_owned());
    let period = stream.buffer_size().map_or_else(|_| String::new(), |n| format!(" period {n}"));
    let Form { rate, channels, format, .. } = form;
    format!("{id} \"{name}\" {rate} Hz {channels} ch {format}{period}")
}
