//! Errors of cpal.

use cpal::ErrorKind;

use crate::error::Error;

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
