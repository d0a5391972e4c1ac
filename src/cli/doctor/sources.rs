//! Where sound comes from: each device, file and line that is configured.

use std::env;
use std::path::{Path, PathBuf};

use super::super::devices::{Sound, listen};
use super::finding::{DoctorReport, Finding};
use super::permission;
use super::shell::ask;
use crate::audio_file::AudioReader;
use crate::capture::{CaptureConfig, list_inputs};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Seconds of sound from each device.
const MOMENT: f64 = 0.5;
/// Inputs that need ffmpeg.
const BY_FFMPEG: [&str; 5] = ["rtsp://", "rtsps://", "rtmp://", "http://", "https://"];

/// Looks at all of them; at the inputs of the machine where none is configured.
pub(super) fn check(config: &Config, daemon: Option<&String>, report: &mut DoctorReport) -> Result<()> {
    if config.source.is_empty() {
        return report.add(inputs());
    }
    for source in &config.source {
        if let Some(name) = &source.device {
            let check = format!("device {name}");
            report.add(match daemon {
                Some(daemon) => Finding::ok(
                    &check,
                    format!("left to {daemon}, which listens; `cpc-stream health` says what it hears"),
                ),
                None => device(&check, name, &config.capture),
            })?;
        }
        if let Some(file) = &source.file {
            let check = format!("file {}", file.display());
            report.add(match AudioReader::open(file) {
                Ok(reader) => Finding::ok(&check, format!("readable, {} Hz", reader.rate())),
                Err(error) => Finding::fail(&check, &error),
            })?;
        }
    }
    let url = |url: &String| BY_FFMPEG.iter().any(|scheme| url.starts_with(scheme));
    if config.source.iter().any(|source| source.url.as_ref().is_some_and(url)) {
        report.add(ffmpeg())?;
    }
    Ok(())
}

fn inputs() -> Finding {
    const CHECK: &str = "inputs";
    match list_inputs() {
        Ok(inputs) => {
            // the other names are converters, which are there without any hardware
            let hardware = inputs.iter().filter(|input| input.id.starts_with("hw:"));
            let names: Vec<&str> = hardware.map(|input| input.id.as_str()).collect();
            if !names.is_empty() {
                return Finding::ok(CHECK, format!("{}; `cpc-stream devices` says more", names.join(", ")));
            }
            let fix = permission::missing().unwrap_or_else(|| {
                "plug a microphone in (`arecord -l` lists them); files, pipes and networks need none"
                    .to_owned()
            });
            Finding::warn(CHECK, "no microphone is here", fix)
        }
        Err(error) => Finding::warn(CHECK, error.to_string(), error.fix().to_owned()),
    }
}

fn device(check: &str, name: &str, capture: &CaptureConfig) -> Finding {
    match listen(name, MOMENT, capture) {
        Ok(sound) => has_sound(check, &sound),
        Err(error) => Finding::fail(
            check,
            &explained(error, permission::missing(), &permission::holders(Path::new("/proc"))),
        ),
    }
}

fn has_sound(check: &str, sound: &Sound) -> Finding {
    let text = format!("{}, {:.1} dBFS", sound.description, sound.level_dbfs());
    match sound.complaint() {
        None => Finding::ok(check, text),
        Some(complaint) => Finding::warn(
            check,
            format!("{text}: {complaint}"),
            "`cpc-stream devices probe` listens for longer; `alsamixer -V capture` sets levels",
        ),
    }
}

/// The same with what the machine knows about it.
fn explained(error: Error, permission: Option<String>, holders: &[String]) -> Error {
    let busy = error.to_string().contains("busy");
    match permission {
        // without permission ALSA lists no cards
        Some(fix) => Error::device(format!("{error}; this user may open no sound card"), fix),
        None if busy && !holders.is_empty() => {
            let who = holders.join(", ");
            Error::device(format!("{error}; captured from now: {who}"), error.fix().to_owned())
        }
        None if error.kind() == ErrorKind::Internal => {
            Error::device(error.to_string(), error.fix().to_owned())
        }
        None => error,
    }
}

fn ffmpeg() -> Finding {
    const CHECK: &str = "ffmpeg";
    let folders = env::var_os("PATH").unwrap_or_default();
    let there: Option<PathBuf> =
        env::split_paths(&folders).map(|folder| folder.join("ffmpeg")).find(|path| path.is_file());
    match there {
        None => Finding::fail(
            CHECK,
            &Error::device(
                "it is not installed, and a source with an rtsp, rtmp or http URL needs it",
                "apt-get install ffmpeg",
            ),
        ),
        Some(path) => match ask("ffmpeg", &["-hide_banner", "-version"]) {
            Some(said) => Finding::ok(CHECK, said.lines().next().unwrap_or_default().to_owned()),
            None => Finding::warn(
                CHECK,
                format!("{} does not run", path.display()),
                "`ffmpeg -version` says why; install it anew",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_explained_by_what_the_machine_knows() {
        let busy = || Error::device("the device cannot be opened: it is busy", "stop the other program");
        let said = explained(busy(), None, &["card1: arecord (process 7)".into()]);
        assert!(said.to_string().contains("arecord (process 7)") && said.fix().contains("stop"));
        let said = explained(Error::device("it is not there", "plug it in"), Some("usermod".into()), &[]);
        assert!(said.to_string().contains("may open no sound card") && said.fix() == "usermod");
        let said = explained(Error::device("it is not there", "plug it in"), None, &["card1: x".into()]);
        assert_eq!((said.to_string().as_str(), said.fix()), ("it is not there", "plug it in"));
    }
}
