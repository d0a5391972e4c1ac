//! How much of the sound begins in a frame.

use crate::detect::exact::exact;
use crate::detect::kept::Bands;
use crate::units::BANDS;

/// Frames after and before a rise that are compared: 20 and 40 ms.
const AFTER: usize = 2;
const BEFORE: usize = 4;
const KEPT: usize = AFTER + BEFORE;
/// Rises below this many deviations are noise.
const LEAST_RISE: f32 = 1.0;
/// Least deviation of the rise of a band, ln of power.
const LEAST_SCALE: f32 = 0.1;

/// The spectral flux of a stream: the mean over bands of how far each rises above 1 deviation of its usual rises.
#[derive(Debug, Clone)]
pub(super) struct OnsetStrength {
    /// The last frames; the oldest at `next` once all are there.
    recent: [[f32; BANDS]; KEPT],
    next: usize,
    filled: usize,
}

exact!(OnsetStrength { recent, next, filled });

impl OnsetStrength {
    pub(super) fn new() -> Self {
        Self { recent: [[0.0; BANDS]; KEPT], next: 0, filled: 0 }
    }

    /// The next frame, `[64]`; none until the windows are full. A sudden rise in frame u is at its highest in frame
    /// u + 1.
    pub(super) fn push(&mut self, bands: &[f32], scale: &[f32]) -> Option<f32> {
        self.keep(bands);
        if self.filled < KEPT {
            return None;
        }
        let rises = scale.iter().enumerate().map(|(band, scale)| self.rise(band) / scale);
        let sum: f32 = rises.map(|rise| (rise - LEAST_RISE).clamp(0.0, 10.0)).sum();
        Some(sum / BANDS as f32)
    }

    fn keep(&mut self, bands: &[f32]) {
        if let Some(row) = self.recent.get_mut(self.next) {
            row.iter_mut().zip(bands).for_each(|(to, from)| *to = *from);
        }
        self.next = (self.next + 1) % KEPT;
        self.filled = (self.filled + 1).min(KEPT);
    }

    fn rise(&self, band: usize) -> f32 {
        let row = |age: usize| {
            let at = (self.next + age) % KEPT;
            self.recent.get(at).and_then(|row| row.get(band)).copied().unwrap_or_default()
        };
        let before: f32 = (0..BEFORE).map(row).sum();
        let after: f32 = (BEFORE..KEPT).map(row).sum();
        after / AFTER as f32 - before / BEFORE as f32
    }
}

/// Robust deviation of the rise of each band, `[64]`: beats are rare and do not count.
pub(super) fn scale(bands: &(impl Bands + ?Sized), breaks: &[usize]) -> Vec<f32> {
    let mut rises: Vec<Vec<f32>> = vec![Vec::new(); BANDS];
    let mut onset = OnsetStrength::new();
    for (i, frame) in bands.frames().enumerate() {
        if breaks.binary_search(&i).is_ok() {
            onset = OnsetStrength::new();
        }
        onset.keep(&frame);
        // every third: neighbours say nearly the same
        if onset.filled == KEPT && i.is_multiple_of(3) {
            rises.iter_mut().enumerate().for_each(|(band, of)| of.push(onset.rise(band).abs()));
        }
    }
    rises
        .iter_mut()
        .map(|of| {
            of.sort_by(f32::total_cmp);
            (of.get(of.len() / 2).copied().unwrap_or_default() * 1.4826).max(LEAST_SCALE)
        })
        .collect()
}
