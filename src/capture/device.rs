//! A device as a source: opened through cpal on ALSA, watched, reopened for ever.

mod failure;
mod format;
mod session;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};

use super::config::CaptureConfig;
use super::intake::Intake;
use super::link::{ReportedState, SourceLink, retries};
use super::names::{self, InputInfo};
use super::rate::RateCheck;
use super::stable;
use super::timeline::Timeline;
use crate::error::{Error, Result};
use session::{CallbackState, DeviceLoss, Session};

/// Delay where the device has no steady rate: until this is measured, its sound is analysed.
const WRONG_RATE_RETRY: Duration = Duration::from_secs(60);

fn host() -> Result<cpal::Host> {
    cpal::host_from_id(HostId::Alsa).map_err(|e| {
        Error::device(format!("ALSA cannot be reached: {e}"), "install libasound2 and check /dev/snd")
    })
}

/// The capture devices of this machine. Only hardware (`hw:`) is asked for its formats; the other names convert.
///
/// # Errors
/// A device error when ALSA cannot be reached.
pub fn list_inputs() -> Result<Vec<InputInfo>> {
    silence_libasound();
    let cards = stable::cards(Path::new("/sys"));
    let stable = |id: &str| {
        let card = id.split_once("CARD=")?.1.split(',').next()?;
        let card = cards.iter().find(|c| c.id == card || c.number.to_string() == card)?;
        card.stable().map(str::to_owned)
    };
    Ok(inputs(&host()?)?
        .map(|(id, device)| {
            let description = device.description().map_or_else(|_| String::new(), |d| d.name().to_owned());
            let forms =
                if id.starts_with("hw:") { format::summary(&device) } else { "converted by ALSA".into() };
            InputInfo { stable: stable(&id), id, description, forms }
        })
        .collect())
}

fn inputs(host: &cpal::Host) -> Result<impl Iterator<Item = (String, cpal::Device)>> {
    let devices = host.devices().map_err(|e| {
        Error::device(format!("the devices cannot be listed: {e}"), "check the permissions of /dev/snd")
    })?;
    Ok(devices
        .filter(DeviceTrait::supports_input)
        .filter_map(|d| Some((d.id().ok()?.id().to_owned(), d)))
        .filter(|(id, _)| !names::is_no_input(id)))
}

fn listed(host: &cpal::Host) -> Vec<String> {
    inputs(host).map_or_else(|_| Vec::new(), |inputs| inputs.map(|(id, _)| id).collect())
}

fn find(host: &cpal::Host, name: &str, sysfs: &Path) -> Result<cpal::Device> {
    let by_name = |name: &str| host.device_by_id(&cpal::DeviceId::new(HostId::Alsa, name));
    match name {
        "default" => host.default_input_device(),
        name if stable::is_stable(name) => {
            let card = stable::find(sysfs, name)?;
            by_name(&format!("hw:{}", card.number)).or_else(|| by_name(&format!("hw:CARD={},DEV=0", card.id)))
        }
        name => by_name(name),
    }
    .ok_or_else(|| names::not_there(name, &listed(host)))
}

/// The same card by way of ALSA's converter, for hardware whose formats cannot be read (24 bits in 3 bytes).
fn converter(host: &cpal::Host, device: &cpal::Device) -> Option<cpal::Device> {
    let id = device.id().ok()?.id().to_owned();
    id.starts_with("hw:")
        .then(|| host.device_by_id(&cpal::DeviceId::new(HostId::Alsa, format!("plug{id}"))))?
}

/// Opens the device called `name`, through the converter where it must be.
fn open(name: &str, capture: &CaptureConfig, callback_state: Box<CallbackState>) -> session::Opened<Session> {
    let found = host().and_then(|host| find(&host, name, &capture.sysfs).map(|device| (host, device)));
    let (host, device) = match found {
        Ok(found) => found,
        Err(e) => return Err((e, Some(callback_state))),
    };
    let converter = if format::is_readable(&device) { None } else { converter(&host, &device) };
    Session::open(converter.as_ref().unwrap_or(&device), capture, callback_state)
}

/// Refuses a name that can never be a device, and, where it `must_exist`, a device that is not there.
pub(super) fn check(name: &str, capture: &CaptureConfig) -> Result<()> {
    silence_libasound();
    let host = host()?;
    let found = find(&host, name, &capture.sysfs).map(|_| ());
    if found.is_err() {
        names::check(name, &listed(&host))?;
    }
    if capture.must_exist { found } else { Ok(()) }
}

/// Runs a device source: open, watch, reopen, until it is stopped.
pub(super) fn run(name: &str, capture: &CaptureConfig, intake: Intake, link: &SourceLink) {
    let mut callback_state =
        Box::new(CallbackState { intake, timeline: Timeline::default(), rate: RateCheck::default() });
    let mut reported = ReportedState::default();
    let mut delay = retries();
    while !link.stopping() {
        silence_libasound();
        link.counters.opening.store(true, Ordering::Relaxed);
        let attempt = open(name, capture, callback_state);
        link.counters.opening.store(false, Ordering::Relaxed);
        let returned = match attempt {
            Ok(session) => {
                reported.online(link, || session.description().to_owned());
                delay.reset();
                let loss = session.watch(link);
                if let Some(DeviceLoss { reason, wrong_rate }) = loss {
                    reported.offline(link, format!("{name}: {reason}"));
                    if wrong_rate {
                        delay.set(WRONG_RATE_RETRY);
                    }
                }
                session.close()
            }
            Err((e, returned)) => {
                reported.offline(link, format!("{e} ({})", e.fix()));
                returned
            }
        };
        let Some(returned) = returned else {
            tracing::error!(source = %link.source, "the audio thread does not end; the source is given up");
            link.counters.gave_up.store(true, Ordering::Relaxed);
            return;
        };
        callback_state = returned;
        link.sleep_until(Instant::now() + delay.pause());
    }
}

/// Keeps libasound from printing to stderr on this thread: eight lines for every attempt to open a missing device,
/// whose cause is returned as an error anyway. Calling again frees the memory.
fn silence_libasound() {
    // without it libasound prints, which does no harm
    let _ = alsa::Output::local_error_handler();
}
