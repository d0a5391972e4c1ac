//! Latents z, averaged over a short window.

use crate::detect::exact::exact;
use crate::frame::Frame;
use crate::units::HOP;

/// The mean is taken in every frame whose number is a multiple of this: 20 times a second.
pub(crate) const EVERY: u64 = 5;
/// Latents that are averaged: 250 ms.
pub(crate) const POOL_FRAMES: u64 = 25;

const _: () = assert!(HOP == 160, "EVERY assumes 100 frames a second");

/// The last W latents z.
#[derive(Debug, Clone)]
pub(crate) struct LatentMean {
    /// `[W, d]`, the oldest row at `next` once full.
    rows: Vec<f32>,
    width: usize,
    next: usize,
    filled: usize,
}

exact!(LatentMean { rows, width, next, filled });

impl LatentMean {
    pub(crate) fn new(window: usize, width: usize) -> Self {
        Self { rows: vec![0.0; window.max(1) * width], width, next: 0, filled: 0 }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        self.rows[self.next * self.width..][..self.width].copy_from_slice(&frame.z);
        let window = self.rows.len() / self.width;
        self.next = (self.next + 1) % window;
        self.filled = (self.filled + 1).min(window);
    }

    /// Writes e_u, the mean of the window, to `mean`; false as long as the window is not full. Summed anew in the
    /// order of time, so that e_u is a function of these W frames and of nothing before them.
    pub(crate) fn mean(&self, mean: &mut Vec<f32>) -> bool {
        let window = self.rows.len() / self.width;
        if self.filled < window {
            return false;
        }
        mean.clear();
        mean.resize(self.width, 0.0);
        let (newer, older) = self.rows.split_at(self.next * self.width);
        for row in older.chunks_exact(self.width).chain(newer.chunks_exact(self.width)) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
        }
        let scale = 1.0 / window as f32;
        mean.iter_mut().for_each(|m| *m *= scale);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_of_the_last_frames_only() {
        let mut pool = LatentMean::new(3, 2);
        let mut mean = Vec::new();
        for i in 0..8u8 {
            let x = f32::from(i);
            let frame =
                Frame { index: 0, pmi: vec![], z: vec![x, -x], c: vec![], bands: vec![], ..Frame::default() };
            pool.push(&frame);
            assert_eq!(pool.mean(&mut mean), i >= 2);
            if i >= 2 {
                assert_eq!(mean, [x - 1.0, 1.0 - x]);
            }
        }
    }
}
