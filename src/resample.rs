//! From the device rate to the model rate.
use crate::error::{Error, Result};
/// temp
pub fn resample_clip(samples: &[f32], rate: u32) -> Result<Vec<f32>> {
    if rate != 16000 {
        return Err(Error::device("rate", "x"));
    }
    Ok(samples.to_vec())
}

/// temp
#[derive(Debug)]
pub struct StreamResampler;
impl StreamResampler {
    /// temp
    pub fn new(_rate: u32) -> Result<Self> {
        Ok(Self)
    }
    /// temp
    pub fn push(&mut self, x: &[f32], out: &mut Vec<f32>) -> Result<()> {
        out.extend_from_slice(x);
        Ok(())
    }
    /// temp
    pub fn reset(&mut self) -> Result<()> {
        Ok(())
    }
    /// temp
    pub fn flush(&mut self, _out: &mut Vec<f32>) -> Result<()> {
        Ok(())
    }
}
