//! A sound file at the rate of the model, in constant memory.

use std::path::Path;

use super::folder::check_regular;
use crate::audio_file::AudioReader;
use crate::error::Result;
use crate::resample::StreamResampler;

/// An audio file of any rate and number of channels as mono samples at
/// [`MODEL_RATE`](crate::units::MODEL_RATE), block by block.
pub struct SoundFile {
    reader: AudioReader,
    resampler: StreamResampler,
    block: Vec<f32>,
    ended: bool,
}

impl SoundFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// A device error when it is no audio file that can be read, or its rate cannot be resampled.
    pub fn open(path: &Path) -> Result<Self> {
        check_regular(path)?;
        let reader = AudioReader::open(path)?;
        let resampler = StreamResampler::new(reader.rate())
            .map_err(|error| error.context(format!("the audio file {}", path.display())))?;
        Ok(Self { reader, resampler, block: Vec::new(), ended: false })
    }

    /// Length in seconds as the header tells it, where it does.
    #[must_use]
    pub fn duration_s(&self) -> Option<f64> {
        self.reader.duration_s()
    }

    /// Appends the next samples to `out`, the mean of all channels, finite; false at the end.
    ///
    /// # Errors
    /// A device error when the file changes its form on the way or cannot be read.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.reader.next_mono(None, &mut self.block)? {
            self.resampler.push(&self.block, out)?;
        } else {
            self.ended = true;
            self.resampler.flush(out)?;
        }
        Ok(true)
    }
}
