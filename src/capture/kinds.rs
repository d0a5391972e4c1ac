//! What a source is, as its kind says: [`KINDS`] has the driver of each.

use super::KINDS;
use super::config::SourceConfig;
use super::driver::SourceDriver;
use crate::error::{Error, Result};
use crate::mqtt::check_id;

/// The driver of a source.
///
/// # Errors
/// A config error where not exactly one kind is asked for.
fn driver_of(source: &SourceConfig) -> Result<Box<dyn SourceDriver>> {
    let mut made = KINDS.iter().filter_map(|(_, make)| make(source));
    match (made.next(), made.next()) {
        (Some(driver), None) => driver,
        _ => {
            let keys: Vec<String> = KINDS.iter().map(|(key, _)| format!("`{key}`")).collect();
            let (last, others) = keys
                .split_last()
                .map_or((String::new(), String::new()), |(last, others)| (last.clone(), others.join(", ")));
            Err(Error::config(
                format!(
                    "the source {} has not exactly one of {others} and {last}",
                    source.id.as_deref().unwrap_or("without an id")
                ),
                "give it one of them, e.g. device = \"hw:0\"",
            ))
        }
    }
}

impl SourceConfig {
    /// Whether it is a live source, as a device is: endless, at its own pace, and reopened after a loss.
    #[must_use]
    pub fn is_live(&self) -> bool {
        driver_of(self).is_ok_and(|driver| driver.is_live())
    }

    /// Whether sound comes at the pace of time, so that it must not wait: from what is live, and from paced files.
    #[must_use]
    pub fn keeps_pace(&self) -> bool {
        !self.fast && driver_of(self).is_ok_and(|driver| driver.keeps_pace())
    }

    /// Checks everything that can be checked without opening anything.
    ///
    /// # Errors
    /// A config error for contradictory or senseless settings, a device error for a device name that can never
    /// be one.
    pub fn validate(&self) -> Result<()> {
        self.driver().map(|_| ())
    }

    /// The id of the source: as configured, else made from what it is. Not unique by itself; see
    /// [`super::assign_ids`].
    #[must_use]
    pub fn id(&self) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        driver_of(self).map_or_else(|_| "source".into(), |driver| driver.default_id())
    }

    /// The ids of the streams that the source yields: its own, or one a channel (`kitchen_ch0`).
    #[must_use]
    pub fn stream_ids(&self) -> Vec<String> {
        match self.channels.as_deref() {
            None | Some([_]) => vec![self.id()],
            Some(channels) => channels.iter().map(|c| format!("{}_ch{c}", self.id())).collect(),
        }
    }

    /// The driver, once all settings are checked.
    pub(super) fn driver(&self) -> Result<Box<dyn SourceDriver>> {
        if let Some(id) = &self.id {
            check_id("source id", id)?;
        }
        if let Some(channels) = &self.channels {
            let twice = channels.iter().enumerate().any(|(i, c)| channels[..i].contains(c));
            if channels.is_empty() || twice {
                return Err(Error::config(
                    format!("channels = {channels:?} lists no channel, or one twice"),
                    "list each wanted channel once, counted from 0, or leave `channels` out to mix them",
                ));
            }
        }
        let driver = driver_of(self)?;
        if self.pcm.is_some() && self.url.is_none() {
            return Err(Error::config(
                "`pcm` is set without `url`",
                "remove `pcm`; it is the form of what a url gives",
            ));
        }
        if self.rtsp_transport.is_some() && !self.url.as_deref().is_some_and(|url| url.starts_with("rtsp")) {
            return Err(Error::config(
                "`rtsp_transport` is set without an rtsp or rtsps `url`",
                "remove `rtsp_transport`; it says how a camera sends its sound",
            ));
        }
        if self.fast && !driver.can_be_fast() {
            return Err(Error::config(
                "`fast` is set for a source that gives sound at its own pace",
                "remove `fast`; it is for files",
            ));
        }
        driver.validate()?;
        Ok(driver)
    }
}
