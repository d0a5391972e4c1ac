//! Configuration of Home Assistant discovery.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::publish::request::MAX_MUTE_S;
use crate::publish::topics::check_id;

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
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        Self { enable: false, prefix: "homeassistant".into(), mute_s: 3600 }
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
}
