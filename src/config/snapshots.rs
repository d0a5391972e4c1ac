//! Configuration of snapshots of events.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Whether reported events leave a picture or a clip in the state folder: the `[snapshots]` table. A clip can be
/// listened to, so nothing is kept or written unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotConfig {
    /// A PNG of the log-mel bands over time.
    pub spectrogram: bool,
    /// The picture goes to the broker as well.
    pub publish: bool,
    /// A WAV of the sound, 16 kHz, mono, 16 bit.
    pub clip: bool,
    /// Seconds before the onset that are in them, 0 to 10.
    pub pre_roll_s: f64,
    /// Size in bytes of all of them together, at least 1 MiB; past it the oldest go.
    pub max_bytes: u64,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self { spectrogram: false, publish: false, clip: false, pre_roll_s: 1.0, max_bytes: 100 << 20 }
    }
}

impl SnapshotConfig {
    /// Whether there is anything to keep.
    #[must_use]
    pub fn any(&self) -> bool {
        self.spectrogram || self.clip
    }

    /// Checks every value.
    ///
    /// # Errors
    /// A configuration error that names the key.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=10.0).contains(&self.pre_roll_s) {
            return Err(Error::config(
                format!("snapshots.pre_roll_s = {} is out of range", self.pre_roll_s),
                "choose seconds from 0 to 10",
            ));
        }
        if self.publish && !self.spectrogram {
            return Err(Error::config(
                "snapshots.publish is true, but no picture is drawn",
                "set spectrogram in [snapshots] to true, or publish to false",
            ));
        }
        if self.max_bytes < 1 << 20 {
            return Err(Error::config(
                format!("snapshots.max_bytes = {} is out of range", self.max_bytes),
                "choose 1048576 or more; to keep none, set spectrogram and clip to false",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_nothing_and_values_out_of_range_name_their_key() {
        let config = SnapshotConfig::default();
        config.validate().unwrap();
        assert!(!config.any());
        for (text, key) in [
            ("pre_roll_s = -0.1", "pre_roll_s"),
            ("pre_roll_s = 10.5", "pre_roll_s"),
            ("pre_roll_s = nan", "pre_roll_s"),
            ("max_bytes = 1048575", "max_bytes"),
            ("publish = true", "snapshots.publish"),
        ] {
            let error = toml::from_str::<SnapshotConfig>(text).unwrap().validate().unwrap_err();
            assert!(error.to_string().contains(key), "{text}: {error}");
        }
        assert!(toml::from_str::<SnapshotConfig>("pictures = true").is_err());
    }
}
