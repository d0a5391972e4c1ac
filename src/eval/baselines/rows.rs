//! Frames to rows.

use super::ROW;

/// Frames that a row looks back over: 0.5 s.
pub(super) const WINDOW: usize = 50;

/// For the end of each row the frames of the last 0.5 s, fewer at the start.
pub(super) fn windows(frames: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    windows_of(frames, WINDOW)
}

fn windows_of(frames: usize, window: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (1..=frames / ROW).map(move |row| (row * ROW).saturating_sub(window)..row * ROW)
}

/// Mean over each window of a value a frame.
pub(in crate::eval) fn smooth(values: &[f64]) -> Vec<f64> {
    let mean = |range: std::ops::Range<usize>| {
        let part = values.get(range).unwrap_or_default();
        part.iter().sum::<f64>() / part.len().max(1) as f64
    };
    windows(values.len()).map(mean).collect()
}

/// Mean and standard deviation of each of `width` features over each window: `[rows, 2 · width]`.
pub(in crate::eval) fn moments(frames: &[f32], width: usize) -> Vec<f32> {
    moments_over(frames, width, WINDOW)
}

/// [`moments`] over windows of so many frames.
pub(super) fn moments_over(frames: &[f32], width: usize, window: usize) -> Vec<f32> {
    let count = frames.len() / width.max(1);
    moments_of(frames, width, windows_of(count, window))
}

/// Mean and standard deviation of each of `width` features over each of `ranges`: `[ranges, 2 · width]`.
pub(super) fn moments_of(
    frames: &[f32],
    width: usize,
    ranges: impl Iterator<Item = std::ops::Range<usize>>,
) -> Vec<f32> {
    let mut out = Vec::new();
    for range in ranges {
        let rows = frames.get(range.start * width..range.end * width).unwrap_or_default();
        let n = range.len().max(1) as f64;
        let (mut sum, mut squares) = (vec![0f64; width], vec![0f64; width]);
        for row in rows.chunks_exact(width) {
            for ((s, q), &x) in sum.iter_mut().zip(&mut squares).zip(row) {
                *s += f64::from(x);
                *q += f64::from(x) * f64::from(x);
            }
        }
        out.extend(sum.iter().map(|s| (s / n) as f32));
        out.extend(sum.iter().zip(&squares).map(|(s, q)| (q / n - (s / n).powi(2)).max(0.0).sqrt() as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_with_their_row() {
        let all: Vec<_> = windows(103).collect();
        assert_eq!((all.len(), all[0].clone(), all[19].clone()), (20, 0..5, 50..100));
        let ramp: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(smooth(&ramp)[19], 74.5);
        let frames: Vec<f32> = (0..100u8).flat_map(|i| [f32::from(i), 3.0]).collect();
        let last = &moments(&frames, 2)[19 * 4..];
        assert_eq!((last[0], last[1], last[3]), (74.5, 3.0, 0.0));
        assert!((last[2] - 14.43).abs() < 0.01);
    }
}
