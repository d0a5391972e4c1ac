//! A device as a source: opened through cpal on ALSA, watched, reopened for ever.

mod form;
mod session;

use std::time::{Duration, Instant};

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};

use super::config::CaptureConfig;
use super::intake::Intake;
use super::names::{self, InputInfo};
use super::source::{Change, Link};
use super::timeline::Timeline;
use crate::error::{Error, Result};
use session::{Cargo, Session};

/// Waits between attempts to open a device: short enough to capture again within 3 s of its return.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(2);

fn host() -> Result<cpal::Host> {
    cpal::host_from_id(HostId::Alsa).map_err(|e| {
        Error::device(format!("ALSA cannot be reached: {e}"), "install libasound2 and check /dev/snd")
    })
}

/// The capture devices of this machine. Only hardware (`hw:`) is asked for its forms; the other names convert.
///
/// # Errors
/// A device error when ALSA cannot be reached.
pub fn list_inputs() -> Result<Vec<InputInfo>> {
    hush();
    Ok(inputs(&host()?)?
        .map(|(id, device)| {
            let description = device.description().map_or_else(|_| String::new(), |d| d.name().to_owned());
            let forms =
                if id.starts_with("hw:") { form::summary(&device) } else { "converted by ALSA".into() };
            InputInfo { id, description, forms }
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

fn find(host: &cpal::Host, name: &str) -> Result<cpal::Device> {
    match name {
        "default" => host.default_input_device(),
        name => host.device_by_id(&cpal::DeviceId::new(HostId::Alsa, name)),
    }
    .ok_or_else(|| names::not_there(name, &listed(host)))
}

/// Refuses a name that can never be a device, and, where it `must_exist`, a device that is not there.
pub(super) fn check(name: &str, must_exist: bool) -> Result<()> {
    hush();
    let host = host()?;
    let found = find(&host, name).map(|_| ());
    if found.is_err() {
        names::check(name, &listed(&host))?;
    }
    if must_exist { found } else { Ok(()) }
}

/// The life of a device source: open, watch, reopen, until told to stop.
pub(super) fn run(name: &str, capture: &CaptureConfig, intake: Intake, link: &Link) {
    let mut cargo = Box::new(Cargo { intake, timeline: Timeline::default() });
    let mut told: Option<String> = None;
    let mut wait = FIRST_RETRY;
    while !link.stopping() {
        hush();
        let attempt = match host().and_then(|host| find(&host, name)) {
            Ok(device) => Session::open(&device, capture, cargo),
            Err(e) => Err((e, Some(cargo))),
        };
        let returned = match attempt {
            Ok(session) => {
                link.tell(Change::Online { description: session.description().to_owned() });
                (told, wait) = (None, FIRST_RETRY);
                let reason = session.watch(link);
                if let Some(reason) = reason {
                    tell_offline(link, &mut told, format!("{name}: {reason}"));
                }
                session.close()
            }
            Err((e, returned)) => {
                tell_offline(link, &mut told, format!("{e} ({})", e.fix()));
                returned
            }
        };
        let Some(returned) = returned else {
            tracing::error!(source = %link.source, "the audio thread does not end; the source is given up");
            return;
        };
        cargo = returned;
        link.sleep_until(Instant::now() + wait);
        wait = (wait * 2).min(LAST_RETRY);
    }
}

/// Keeps what libasound would print on stderr on this thread: eight lines for every try of a device that is away.
/// What it means comes back as an error. Calling again empties the memory.
fn hush() {
    // without it libasound prints, which does no harm
    let _ = alsa::Output::local_error_handler();
}

/// Says once for each cause that the device is away.
fn tell_offline(link: &Link, told: &mut Option<String>, reason: String) {
    if told.as_ref() != Some(&reason) {
        link.tell(Change::Offline { reason: reason.clone() });
        *told = Some(reason);
    }
}
