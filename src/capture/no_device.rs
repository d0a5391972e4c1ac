//! Stands in for the devices in a build without the feature `capture`.

use super::config::CaptureConfig;
use super::intake::Intake;
use super::link::SourceLink;
use super::names::InputInfo;
use crate::error::{Error, Result};

fn left_out() -> Error {
    Error::device(
        "this build cannot capture from devices: the feature `capture` was left out",
        "build it with `cargo build --release` (default features) where libasound2-dev is installed",
    )
}

/// The capture devices of this machine: none in this build.
///
/// # Errors
/// Always: the feature `capture` was left out of this build.
pub fn list_inputs() -> Result<Vec<InputInfo>> {
    Err(left_out())
}

pub(super) fn check(_name: &str, _capture: &CaptureConfig) -> Result<()> {
    Err(left_out())
}

pub(super) fn run(_name: &str, _capture: &CaptureConfig, _intake: Intake, _link: &SourceLink) {}
