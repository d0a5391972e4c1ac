//! One recording and the windows that can be cut from it.

use crate::units::{HOP, from_i16, to_i16};

/// Sound from one source at 16 kHz, digital silence taken out.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Its id.
    pub id: String,
    /// The collection it belongs to; empty where none is named.
    pub set: String,
    /// The speaker; empty where none is named.
    pub speaker: String,
    /// Clips it was made of.
    pub clips: usize,
    /// Samples as 16 bit integers: half the memory of floats, and what the files hold.
    samples: Vec<i16>,
}

impl Recording {
    /// An empty recording.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), set: String::new(), speaker: String::new(), clips: 0, samples: Vec::new() }
    }

    /// Appends a clip at 16 kHz, values in [-1, 1]; see [`Recording::push_piece`].
    pub fn push_clip(&mut self, samples: &[f32]) {
        self.clips += 1;
        self.push_piece(samples);
    }

    /// Appends a piece of a clip, whole hops but for the last piece. Hops of digital silence (no sample beyond two
    /// steps of 16 bit) are left out: padded clips would teach that silence follows sound.
    pub fn push_piece(&mut self, samples: &[f32]) {
        for hop in samples.chunks(HOP) {
            if hop.iter().any(|x| x.abs() > 2.0 / 32768.0) {
                self.samples.extend(hop.iter().map(|&x| to_i16(x)));
            }
        }
    }

    /// Samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Releases spare capacity.
    pub fn finish(&mut self) {
        self.samples.shrink_to_fit();
    }

    /// Drops everything after the first `length` samples, and `clips` clips.
    pub(super) fn rewind(&mut self, length: usize, clips: usize) {
        self.samples.truncate(length);
        self.clips = clips;
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Writes `out.len()` samples from `start` on into `out`, multiplied by `gain`, clipped to [-1, 1]. False,
    /// and nothing written, where the recording is too short.
    pub fn copy_to(&self, start: usize, gain: f32, out: &mut [f32]) -> bool {
        let Some(piece) = start.checked_add(out.len()).and_then(|end| self.samples.get(start..end)) else {
            return false;
        };
        for (to, &from) in out.iter_mut().zip(piece) {
            *to = (from_i16(from) * gain).clamp(-1.0, 1.0);
        }
        true
    }
}

/// All whole windows of `window` samples, in turn from each, so that neighbours come from different ones.
#[must_use]
pub fn windows_of(recordings: &[Recording], window: usize) -> Vec<Vec<f32>> {
    let longest = recordings.iter().map(Recording::len).max().unwrap_or(0) / window;
    let mut windows = Vec::new();
    for round in 0..longest {
        for recording in recordings {
            let mut samples = vec![0.0; window];
            if recording.copy_to(round * window, 1.0, &mut samples) {
                windows.push(samples);
            }
        }
    }
    windows
}
