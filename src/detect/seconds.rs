//! Seconds of a calibration: their highest and middle values, and those that lie far from the rest.

use super::background_model::RawRows;
use super::row_layout::HALF;
use super::surprise::median;
use crate::units::FRAME_RATE;

/// A second whose distance lies so many deviations above the median (in ln) is no part of what is fitted.
const OUTLYING: f64 = 4.0;
/// At most this share of the seconds is left out.
const MOST_OUTLYING: f64 = 0.15;

/// The largest value of each second, in the order of time.
pub(super) fn maxima(values: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let (mut all, mut current) = (Vec::<f64>::new(), None);
    for (second, value) in values {
        match all.last_mut() {
            Some(highest) if current == Some(second) => *highest = highest.max(value),
            _ => all.push(value),
        }
        current = Some(second);
    }
    all
}

/// The median of each second, in the order of time.
pub(super) fn medians(values: &[(usize, f64)]) -> Vec<f64> {
    let seconds = values.chunk_by(|a, b| a.0 == b.0);
    seconds.map(|second| median(&mut second.iter().map(|v| v.1).collect::<Vec<_>>())).collect()
}

/// Root mean square over coordinates of the distance of a row from their median, in their median absolute deviations.
pub(super) fn robust_distance(rows: &RawRows) -> impl Fn(usize) -> f64 {
    let (mut values, mut one) = (Vec::with_capacity(rows.len()), Vec::new());
    let scales: Vec<(f64, f64)> = HALF
        .map(|i| {
            values.clear();
            for row in 0..rows.len() {
                rows.read(row, i..i + 1, &mut one);
                values.extend(one.iter().map(|&x| f64::from(x)));
            }
            let middle = median(&mut values);
            values.iter_mut().for_each(|x| *x = (*x - middle).abs());
            (middle, (1.4826 * median(&mut values)).max(0.02))
        })
        .collect();
    move |row| {
        let mut of = Vec::new();
        rows.read(row, HALF, &mut of);
        let squares = of.iter().zip(&scales).map(|(&x, (m, d))| ((f64::from(x) - m) / d).powi(2));
        (squares.sum::<f64>() / scales.len() as f64).sqrt()
    }
}

/// Seconds of whose rows one lies far from the rest, ascending.
pub(super) fn outlying_seconds(distance: &dyn Fn(usize) -> f64, rows: &RawRows) -> Vec<usize> {
    let mut seconds: Vec<(usize, f64)> = Vec::new();
    for row in 0..rows.len() {
        let (second, far) = (rows.frame(row) / FRAME_RATE as usize, distance(row).max(1e-9).ln());
        match seconds.last_mut() {
            Some((at, most)) if *at == second => *most = most.max(far),
            _ => seconds.push((second, far)),
        }
    }
    let mut values: Vec<f64> = seconds.iter().map(|s| s.1).collect();
    let middle = median(&mut values);
    values.iter_mut().for_each(|x| *x = (*x - middle).abs());
    let spread = (1.4826 * median(&mut values)).max(1e-6);
    let limit = middle + OUTLYING * spread;
    let mut far: Vec<(usize, f64)> = seconds.iter().copied().filter(|s| s.1 > limit).collect();
    far.sort_by(|a, b| b.1.total_cmp(&a.1));
    far.truncate((MOST_OUTLYING * seconds.len() as f64) as usize);
    let mut far: Vec<usize> = far.into_iter().map(|s| s.0).collect();
    far.sort_unstable();
    far
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_those_of_each_second() {
        assert_eq!(medians(&[(0, 1.0), (0, 9.0), (0, 3.0), (2, 2.0), (3, 0.5)]), [3.0, 2.0, 0.5]);
    }

    #[test]
    fn maxima_are_those_of_each_second() {
        let values = [(0, 1.0), (0, 3.0), (2, 2.0), (2, 1.0), (3, 0.5)];
        assert_eq!(maxima(values.into_iter()), [3.0, 2.0, 0.5]);
    }
}
