//! From the device rate to the model rate.
use crate::error::{Error, Result};
/// temp
pub fn resample_clip(samples: &[f32], rate: u32) -> Result<Vec<f32>> {
    if rate != 16000 {
        return Err(Error::device("rate", "x"));
    }
    Ok(samples.to_vec())
}
