//! Samples of chunks.

use crate::capture::{Chunk, decode};

/// The samples of a chunk as one channel: `channel`, or the mean of all where it is none.
pub(super) fn mono(chunk: &Chunk<'_>, channel: Option<u16>) -> Vec<f32> {
    let mut samples = Vec::with_capacity(chunk.bytes.len() / chunk.pcm.format.bytes());
    decode(&chunk.bytes, chunk.pcm.format, &mut samples);
    let channels = usize::from(chunk.pcm.channels).max(1);
    if channels == 1 {
        return samples;
    }
    let of_frame = |frame: &[f32]| match channel {
        Some(channel) => frame.get(usize::from(channel)).copied().unwrap_or_default(),
        None => frame.iter().sum::<f32>() / frame.len() as f32,
    };
    samples.chunks_exact(channels).map(of_frame).collect()
}
