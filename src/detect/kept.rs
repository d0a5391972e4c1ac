//! Frames as calibration keeps them: in few bits, and in pieces.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::units::BANDS;

/// Vectors of one width, in the order of time.
///
/// In 16 bits unless they are made of fewer (f16: 11 significant bits of numbers that lie within ±16 here). In pieces, so that none is
/// moved where there is more, and so that each can be given back by itself.
#[derive(Debug, Clone)]
pub(super) struct Kept<T = f16> {
    width: usize,
    /// Vectors of a piece.
    piece: usize,
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Kept<T> {
    /// For vectors of `width` numbers, `piece` of them in each piece.
    pub(super) fn new(width: usize, piece: usize) -> Self {
        Self { width, piece: piece.max(1), pieces: Vec::new(), len: 0 }
    }

    /// Vectors.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends a vector.
    pub(super) fn append(&mut self, values: impl Iterator<Item = T>) {
        if self.len.is_multiple_of(self.piece) {
            self.pieces.push(Vec::with_capacity(self.piece * self.width));
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.extend(values.take(self.width));
            self.len += 1;
        }
    }

    /// The numbers `range` of vector `at`.
    pub(super) fn get(&self, at: usize, range: Range<usize>) -> Option<&[T]> {
        let from = at % self.piece * self.width;
        self.pieces.get(at / self.piece)?.get(from + range.start..from + range.end)
    }

    /// Gives back the pieces that end before vector `at`: it is read no more.
    pub(super) fn forget_before(&mut self, at: usize) {
        let done = at / self.piece;
        // those before are empty already
        if let Some(piece) = done.checked_sub(1).and_then(|last| self.pieces.get_mut(last)) {
            *piece = Vec::new();
        }
    }

    /// Keeps the first piece of every two, whole pieces alone.
    pub(super) fn thin_out(&mut self) {
        let mut at = 0;
        self.pieces.retain(|_| {
            at += 1;
            at % 2 == 1
        });
        self.len = self.pieces.len() * self.piece;
    }
}

impl Kept {
    /// Appends a vector.
    pub(super) fn push(&mut self, values: &[f32]) {
        let (least, most) = (f16::MIN.to_f32(), f16::MAX.to_f32());
        self.append(values.iter().map(|x| f16::from_f32(x.clamp(least, most))));
    }

    /// Writes the numbers `range` of vector `at` to `out`, as far as both go.
    pub(super) fn read(&self, at: usize, range: Range<usize>, out: &mut [f32]) {
        if let Some(values) = self.get(at, range) {
            let both = values.len().min(out.len());
            values[..both].convert_to_f32_slice(&mut out[..both]);
        }
    }
}

/// Log-mel bands of consecutive frames.
pub(super) trait Bands {
    /// Frames.
    fn count(&self) -> usize;

    /// The bands of each frame.
    fn frames(&self) -> impl Iterator<Item = [f32; BANDS]> + '_;
}

impl Bands for Kept {
    fn count(&self) -> usize {
        self.len
    }

    fn frames(&self) -> impl Iterator<Item = [f32; BANDS]> + '_ {
        (0..self.len).map(|at| {
            let mut frame = [0.0; BANDS];
            self.read(at, 0..BANDS, &mut frame);
            frame
        })
    }
}

impl Bands for [f32] {
    fn count(&self) -> usize {
        self.len() / BANDS
    }

    fn frames(&self) -> impl Iterator<Item = [f32; BANDS]> + '_ {
        self.as_chunks().0.iter().copied()
    }
}

#[cfg(test)]
impl Bands for Vec<f32> {
    fn count(&self) -> usize {
        self.as_slice().count()
    }

    fn frames(&self) -> impl Iterator<Item = [f32; BANDS]> + '_ {
        self.as_slice().frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(vectors: usize) -> Kept {
        let mut kept = Kept::new(3, 4);
        (0..vectors).for_each(|i| kept.push(&[i as f32, 0.5, -1e9]));
        kept
    }

    fn first(kept: &Kept, at: usize) -> f32 {
        let mut out = [9.0];
        kept.read(at, 0..1, &mut out);
        out[0]
    }

    #[test]
    fn vectors_are_read_as_they_were_kept() {
        let kept = kept(10);
        let mut out = [0.0; 2];
        for i in 0..10 {
            kept.read(i, 1..3, &mut out);
            assert_eq!((first(&kept, i), out), (i as f32, [0.5, f16::MIN.to_f32()]));
        }
        assert_eq!((kept.len(), kept.count()), (10, 10));
    }

    #[test]
    fn every_second_piece_stays() {
        let mut kept = kept(16);
        kept.thin_out();
        assert_eq!(
            (0..kept.len()).map(|i| first(&kept, i)).collect::<Vec<_>>(),
            [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0]
        );
        kept.push(&[16.0; 3]);
        assert_eq!((kept.len(), first(&kept, 8)), (9, 16.0));
    }

    #[test]
    fn what_is_read_no_more_is_given_back() {
        let mut kept = kept(12);
        for at in 0..12 {
            kept.forget_before(at);
            assert_eq!(first(&kept, at), at as f32);
        }
        let held: usize = kept.pieces.iter().map(Vec::capacity).sum();
        assert_eq!(held, 12);
    }
}
