//! One opening of a device, from `open` to its loss.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{ErrorKind, InputCallbackInfo, SampleFormat, SizedSample, StreamInstant};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::super::config::CaptureConfig;
use super::super::intake::{Intake, Pcm};
use super::super::link::{SourceChange, SourceLink};
use super::super::rate::{RateCheck, RateStatus};
use super::super::timeline::Timeline;
use super::failure::failure;
use super::format::{self, DeviceFormat};
use crate::error::{Error, Result};
use crate::realtime;
use crate::ring::RATES;

/// A device without samples for this long is reopened: a lost device does not always report an error.
const SILENT: Duration = Duration::from_secs(2);
/// Interval at which the session reads the reports of the callbacks.
const LOOK: Duration = Duration::from_millis(50);
/// After a longer interval the process itself was suspended, not the device.
const STOPPED: Duration = Duration::from_secs(1);
/// Least time between two notices of xruns: a slow machine has many a second.
const NOTICES: Duration = Duration::from_secs(10);
/// ALSA's poll timeout: without one the audio thread may never end.
const POLL: Duration = Duration::from_millis(500);

/// State owned by the audio callback, returned when the stream is dropped.
pub(super) struct CallbackState {
    pub(super) intake: Intake,
    pub(super) timeline: Timeline,
    pub(super) rate: RateCheck,
}

/// The loss of a device, with its cause.
pub(super) struct DeviceLoss {
    pub(super) reason: String,
    /// It gives no steady rate; another opening would not mend that soon.
    pub(super) wrong_rate: bool,
}

/// Reports of the callbacks.
#[derive(Default)]
struct CallbackReport {
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

impl CallbackReport {
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

/// Returns the callback's state when the callback is dropped, on any thread.
struct ReturnGuard {
    callback_state: Option<Box<CallbackState>>,
    home: Sender<Box<CallbackState>>,
    report: Arc<CallbackReport>,
    /// Priority that the first callback requests, since only a thread itself can request it.
    priority: u8,
}

impl ReturnGuard {
    fn take<T: Pcm>(&mut self, samples: &[T], info: &InputCallbackInfo) {
        if let Err(reason) = realtime::promote(std::mem::take(&mut self.priority)) {
            self.report.priority_refused.get_or_init(|| reason);
        }
        let Some(CallbackState { intake, timeline, rate }) = self.callback_state.as_deref_mut() else {
            return;
        };
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
            Some(RateStatus::Correct(hz)) if RATES.contains(&hz) => {
                timeline.corrected(hz);
                intake.correct(hz);
                self.report.corrected.store(hz, Ordering::Relaxed);
            }
            Some(RateStatus::Correct(hz) | RateStatus::Refuse(hz)) => {
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

impl Drop for ReturnGuard {
    fn drop(&mut self) {
        if let Some(callback_state) = self.callback_state.take() {
            let _ = self.home.try_send(callback_state);
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
    report: Arc<CallbackReport>,
    home: Receiver<Box<CallbackState>>,
    nominal: u32,
}

/// A failed opening returns the callback's state, unless the audio thread hangs with it.
pub(super) type Opened<T, E = Error> = std::result::Result<T, (E, Option<Box<CallbackState>>)>;

impl Session {
    pub(super) fn open(
        device: &cpal::Device,
        capture: &CaptureConfig,
        callback_state: Box<CallbackState>,
    ) -> Opened<Self> {
        let form = match format::choose(device, callback_state.intake.channels_needed(), capture) {
            Ok(form) => form,
            Err(e) => return Err((e, Some(callback_state))),
        };
        let priority = capture.realtime_priority;
        let mut built = Self::build(device, form, priority, callback_state);
        if let Err((e, callback_state @ Some(_))) = &mut built
            && e.kind() == ErrorKind::UnsupportedConfig
            && form.period.is_some()
            && let Some(callback_state) = callback_state.take()
        {
            built = Self::build(device, DeviceFormat { period: None, ..form }, priority, callback_state);
        }
        built.map_err(|(e, callback_state)| (failure("cannot be opened", &e), callback_state))
    }

    fn build(
        device: &cpal::Device,
        form: DeviceFormat,
        priority: u8,
        mut callback_state: Box<CallbackState>,
    ) -> Opened<Self, cpal::Error> {
        let rate = callback_state.rate.opened(form.rate);
        if let Err(e) = callback_state.intake.expect(form.channels, rate) {
            return Err((
                cpal::Error::with_message(ErrorKind::InvalidInput, e.to_string()),
                Some(callback_state),
            ));
        }
        callback_state.timeline.reopened(rate);
        let report = Arc::new(CallbackReport::default());
        let (away, home) = bounded(1);
        let guard = ReturnGuard {
            callback_state: Some(callback_state),
            home: away,
            report: Arc::clone(&report),
            priority,
        };
        let built = match form.format {
            SampleFormat::I8 => stream::<i8>(device, form, guard),
            SampleFormat::U8 => stream::<u8>(device, form, guard),
            SampleFormat::I16 => stream::<i16>(device, form, guard),
            SampleFormat::U16 => stream::<u16>(device, form, guard),
            SampleFormat::I24 => stream::<cpal::I24>(device, form, guard),
            SampleFormat::I32 => stream::<i32>(device, form, guard),
            SampleFormat::F64 => stream::<f64>(device, form, guard),
            _ => stream::<f32>(device, form, guard),
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
    pub(super) fn watch(&self, link: &SourceLink) -> Option<DeviceLoss> {
        let mut xruns = Xruns::default();
        let loss = self.watch_for(&mut xruns, link);
        xruns.notify(link);
        loss
    }

    fn watch_for(&self, xruns: &mut Xruns, link: &SourceLink) -> Option<DeviceLoss> {
        let (mut callbacks, mut received) = (0, Instant::now());
        let (mut warned, mut looked) = (false, Instant::now());
        let lost = |reason: String| Some(DeviceLoss { reason, wrong_rate: false });
        while link.sleep_until(Instant::now() + LOOK) {
            if looked.elapsed() > STOPPED {
                received = Instant::now();
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
            xruns.update(self.report.xruns.load(Ordering::Relaxed), link);
            let now = self.report.callbacks.load(Ordering::Relaxed);
            if now != callbacks {
                (callbacks, received) = (now, Instant::now());
            } else if received.elapsed() > SILENT {
                return lost(format!("the device gave no sample for {} s", SILENT.as_secs()));
            }
        }
        None
    }

    fn look_at_rate(&self, link: &SourceLink) -> Option<DeviceLoss> {
        let nominal = self.nominal;
        match self.report.corrected.swap(0, Ordering::Relaxed) {
            0 => {}
            measured => link.notify(SourceChange::WrongRate { nominal, measured }),
        }
        let measured = self.report.refused.load(Ordering::Relaxed);
        (measured > 0).then(|| DeviceLoss {
            reason: format!(
                "the device says {nominal} Hz but gave {measured} samples in the last second measured, and it is not \
                 steady: try plughw: instead of hw:, another capture.rate_hz, or another USB port"
            ),
            wrong_rate: true,
        })
    }

    /// Ends the capture and returns the callback's state, unless the audio thread hangs with it.
    pub(super) fn close(self) -> Option<Box<CallbackState>> {
        drop(self.stream);
        self.home.recv_timeout(SILENT).ok()
    }
}

/// Xruns: counted at once; the first is reported at once, later ones at most every [`NOTICES`].
#[derive(Debug, Default)]
struct Xruns {
    counted: u64,
    reported: u64,
    at: Option<Instant>,
}

impl Xruns {
    fn update(&mut self, now: u64, link: &SourceLink) {
        link.counters.xruns.fetch_add(now - self.counted, Ordering::Relaxed);
        self.counted = now;
        if self.at.is_none_or(|at| at.elapsed() >= NOTICES) {
            self.notify(link);
        }
    }

    fn notify(&mut self, link: &SourceLink) {
        let count = self.counted - std::mem::replace(&mut self.reported, self.counted);
        if count > 0 {
            link.notify(SourceChange::Xrun { count });
            self.at = Some(Instant::now());
        }
    }
}

fn stream<T: SizedSample + Pcm>(
    device: &cpal::Device,
    form: DeviceFormat,
    mut guard: ReturnGuard,
) -> Result<cpal::Stream, cpal::Error> {
    let report = Arc::clone(&guard.report);
    device.build_input_stream::<T, _, _>(
        form.stream_config(),
        move |samples, info| guard.take(samples, info),
        move |error| report.error(&error),
        Some(POLL),
    )
}

fn describe(device: &cpal::Device, form: DeviceFormat, stream: &cpal::Stream) -> String {
    let id = device.id().map_or_else(|_| "?".into(), |id| id.id().to_owned());
    let name = device.description().map_or_else(|_| String::new(), |d| d.name().to_owned());
    let period = stream.buffer_size().map_or_else(|_| String::new(), |n| format!(" period {n}"));
    let DeviceFormat { rate, channels, format, .. } = form;
    format!("{id} \"{name}\" {rate} Hz {channels} ch {format}{period}")
}
