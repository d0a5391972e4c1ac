//! From frames to one vector a clip.

/// Mean and standard deviation of each feature over the frames that hold sound: `[mean; width]` followed by
/// `[sd; width]`. `frames` is `[frames, width]`, row after row; `has_sound` says which frames count. Where none does,
/// all do.
#[must_use]
pub fn pool(frames: &[f32], width: usize, received: &[bool]) -> Vec<f64> {
    let any = received.iter().any(|&h| h);
    let counted = || {
        let rows = frames.chunks_exact(width.max(1)).zip(received);
        rows.filter(move |(_, h)| **h || !any).map(|(row, _)| row)
    };
    let count = counted().count().max(1) as f64;
    let mut pooled = vec![0.0; 2 * width];
    let (mean, sd) = pooled.split_at_mut(width);
    for row in counted() {
        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x) / count);
    }
    for row in counted() {
        for ((s, m), &x) in sd.iter_mut().zip(mean.iter()).zip(row) {
            *s += (f64::from(x) - m).powi(2) / count;
        }
    }
    sd.iter_mut().for_each(|s| *s = s.sqrt());
    pooled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_padding_do_not_count() {
        let frames = [1.0, 10.0, 3.0, 10.0, 99.0, 99.0];
        assert_eq!(pool(&frames, 2, &[true, true, false]), [2.0, 10.0, 1.0, 0.0]);
        assert_eq!(pool(&frames[..4], 2, &[false, false]), [2.0, 10.0, 1.0, 0.0]);
    }
}
