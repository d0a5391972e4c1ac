//! Configuration of Home Assistant discovery.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mqtt::check_id;
use crate::publish::request::MAX_MUTE_S;

/// Home Assistant discovery: the `[homeassistant]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeAssistantConfig {
    /// True: the node and its streams are a device in Home Assistant. Set back to false, they are taken out again.
    pub enable: bool,
    /// First level or levels of the topics on which Home Assistant looks for devices.
    pub prefix: String,
    /// Seconds for which the switch mutes, 1 to 86400; it switches itself off after that.
    pub mute_s: u32,
    /// Address of the page, to which the device links. Empty: that of `[http] listen`, where others reach it.
    pub page_url: String,
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        Self { enable: false, prefix: "homeassistant".into(), mute_s: 3600, page_url: String::new() }
    }
}

impl HomeAssistantConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// A configuration error that names the key.
    pub fn validate(&self) -> Result<()> {
        for level in self.prefix.split('/') {
            check_id("homeassistant.prefix level", level)?;
        }
        if !(1..=MAX_MUTE_S).contains(&self.mute_s) {
            return Err(Error::config(
                format!("homeassistant.mute_s = {} is out of range", self.mute_s),
                format!("choose a value from 1 to {MAX_MUTE_S}"),
            ));
        }
        let url = self.page_url.trim();
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if !url.is_empty() && rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            return Err(Error::config(
                format!("homeassistant.page_url = {url:?} is no address of a page"),
                "write one as http://kitchen-pi.lan:8099/, or leave it empty",
            ));
        }
        Ok(())
    }
}

/// The content of the discovery document.
#[derive(Debug, Clone, Copy)]
pub struct DiscoveryConfig<'a> {
    /// The configuration.
    pub config: &'a HomeAssistantConfig,
    /// The ids of all streams.
    pub streams: &'a [String],
    /// Address of the page.
    pub page: Option<&'a str>,
    /// Whether pictures of events are published.
    pub pictures: bool,
}
