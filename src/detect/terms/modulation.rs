//! How the envelope of the sound is modulated.

use std::sync::OnceLock;

use super::groups::GROUPS;
use crate::detect::exact::exact;
use crate::kernels::{COLUMNS, dots};

/// Envelopes: those of the groups of bands, and that of all together.
const ENVELOPES: usize = GROUPS + 1;
/// Frames of the transform: 0.64 s.
const WINDOW: usize = 64;
/// First bin of each band of modulation, and the bin after the last: 1.6 Hz apart, 1.6 to 48 Hz.
const EDGES: [usize; 7] = [1, 3, 5, 8, 12, 18, 32];
/// Numbers of a spectrum: two of each bin.
const PARTS: usize = 2 * (EDGES[EDGES.len() - 1] - EDGES[0]);
/// Values of a row.
pub(super) const WIDTH: usize = ENVELOPES * (EDGES.len() - 1);
const _: () = assert!(WINDOW == COLUMNS);
/// Added to the power of a band of modulation.
const FLOOR: f32 = 1e-3;

/// Modulation spectra of the log envelopes of the last 0.64 s under a Hann window, in 6 bands from 1.6 to 48 Hz.
///
/// A band of a steady noise fluctuates by itself; the sum of many bands does not, so that a modulation of a few percent that all
/// share (a blade, a bearing, a mains hum) stands out.
#[derive(Debug, Clone)]
pub(super) struct Modulation {
    /// `[64, 9]`, a ring.
    ring: Vec<[f32; ENVELOPES]>,
    next: usize,
    filled: usize,
}

exact!(Modulation { ring, next, filled });

/// Cosine and sine of each bin under the window, `[bins, 2, 64]`.
fn waves() -> &'static [[f32; WINDOW]] {
    static TABLE: OnceLock<Vec<[f32; WINDOW]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let of = |bin: usize, wave: fn(f64) -> f64| {
            std::array::from_fn(|n| {
                let turn = std::f64::consts::TAU * n as f64 / WINDOW as f64;
                ((0.5 - 0.5 * turn.cos()) * wave(turn * bin as f64)) as f32
            })
        };
        (EDGES[0]..EDGES[EDGES.len() - 1]).flat_map(|bin| [of(bin, f64::cos), of(bin, f64::sin)]).collect()
    })
}

impl Modulation {
    /// Of a stream that begins.
    pub(super) fn new() -> Self {
        Self { ring: vec![[0.0; ENVELOPES]; WINDOW], next: 0, filled: 0 }
    }

    /// Takes the mean powers of the groups of the next frame.
    pub(super) fn push(&mut self, powers: &[f32; GROUPS]) {
        let all = powers.iter().sum::<f32>() / GROUPS as f32;
        if let Some(place) = self.ring.get_mut(self.next) {
            place.iter_mut().zip(powers.iter().chain([&all])).for_each(|(to, x)| *to = (x + 1e-6).ln());
        }
        self.next = (self.next + 1) % WINDOW;
        self.filled = (self.filled + 1).min(WINDOW);
    }

    /// Whether the window is full.
    pub(super) fn is_full(&self) -> bool {
        self.filled == WINDOW
    }

    /// Writes ln of the power in each band of modulation of each envelope, `[54]`.
    pub(super) fn row(&self, out: &mut Vec<f32>) {
        out.clear();
        let (mut wave, mut parts) = ([0f32; WINDOW], [0f32; PARTS]);
        for envelope in 0..ENVELOPES {
            let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
            for (to, row) in wave.iter_mut().zip(older.iter().chain(newer)) {
                *to = row[envelope];
            }
            let mean = wave.iter().sum::<f32>() / WINDOW as f32;
            wave.iter_mut().for_each(|x| *x -= mean);
            dots(&wave, waves(), &mut parts);
            let (mut bins, _) = parts.as_chunks::<2>();
            for edges in EDGES.windows(2) {
                let (band, above) = bins.split_at(edges[1] - edges[0]);
                let power: f32 = band.iter().map(|[c, s]| c * c + s * s).sum();
                out.push((power / band.len() as f32 + FLOOR).ln());
                bins = above;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modulation_is_found_in_its_band() {
        let mut modulation = Modulation::new();
        for n in 0..200 {
            let turn = std::f32::consts::TAU * 10.0 * n as f32 / 100.0;
            modulation.push(&[(0.3 * turn.sin()).exp(); GROUPS]);
            assert_eq!(modulation.is_full(), n >= WINDOW - 1);
        }
        let mut row = Vec::new();
        modulation.row(&mut row);
        assert_eq!(row.len(), WIDTH);
        for envelope in row.chunks(EDGES.len() - 1) {
            // 10 Hz is bin 6.4, in the third band
            let highest = (0..6).max_by(|&a, &b| envelope[a].total_cmp(&envelope[b])).unwrap();
            assert_eq!(highest, 2, "{envelope:?}");
        }
    }
}
