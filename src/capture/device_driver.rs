//! A capture device as a kind of source.

use super::config::SourceConfig;
use super::device;
use super::driver::{Opened, Opening, SourceDriver, USUAL_RATE};
use crate::error::{Error, Result};
use crate::mqtt::slug;

/// A capture device.
struct DeviceDriver(String);

/// The driver of `device`; [`device`] is another file in a build without the feature `capture`.
pub(super) fn driver(source: &SourceConfig) -> Option<Result<Box<dyn SourceDriver>>> {
    Some(Ok(Box::new(DeviceDriver(source.device.clone()?))))
}

impl SourceDriver for DeviceDriver {
    fn name(&self) -> String {
        format!("device {}", self.0)
    }

    fn default_id(&self) -> String {
        slug(&self.0, '_', "source")
    }

    fn is_live(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        if self.0.trim().is_empty() {
            return Err(Error::device(
                "the device name is empty",
                "run `cpc-stream devices` to see the names, or give \"default\"",
            ));
        }
        Ok(())
    }

    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened> {
        device::check(&self.0, opening.capture)?;
        let (intake, readers) = (opening.rings)(USUAL_RATE)?;
        let (capture, link) = (opening.capture.clone(), opening.link);
        Ok(Opened::new(readers, move || device::run(&self.0, &capture, intake, &link)))
    }
}
