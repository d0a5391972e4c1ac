//! The space in which labels compare sounds.

/// Quantiser of embeddings: coordinates have about unit variance in the training sound, and 32nds of that reach ±4 of them.
const STEPS: f64 = 32.0;

/// Mean and standard deviation of z, c and bands over an event, along axes fitted to a training corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSpace {
    mean: Vec<f32>,
    /// `[coordinates, width]`, row after row.
    axes: Vec<f32>,
}

impl LabelSpace {
    /// The space of these `axes` (`[coordinates, width]`) around `mean` (`[width]`); none where their lengths do not fit.
    #[must_use]
    pub fn new(mean: Vec<f32>, axes: Vec<f32>) -> Option<Self> {
        let fits = !mean.is_empty() && !axes.is_empty() && axes.len().is_multiple_of(mean.len());
        fits.then_some(Self { mean, axes })
    }

    /// The mean, which is as wide as what is embedded.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The axes, `[coordinates, width]`.
    #[must_use]
    pub fn axes(&self) -> &[f32] {
        &self.axes
    }

    /// The coordinates of `pooled`; none where it has another width.
    #[must_use]
    pub fn project(&self, pooled: &[f64]) -> Option<Vec<f64>> {
        if pooled.len() != self.mean.len() {
            return None;
        }
        let along = |axis: &[f32]| -> f64 {
            let apart = pooled.iter().zip(&self.mean).map(|(x, &m)| x - f64::from(m));
            apart.zip(axis).map(|(x, &a)| x * f64::from(a)).sum()
        };
        Some(self.axes.chunks_exact(self.mean.len()).map(along).collect())
    }

    /// The same in 32nds, within ±127, without the component along that of `background` (pooled over the site without an event;
    /// empty where it is not known): two sounds are not alike because they are of one site.
    #[must_use]
    pub fn embed(&self, pooled: &[f64], background: &[f64]) -> Option<Vec<i8>> {
        let mut coordinates = self.project(pooled)?;
        if let Some(site) = self.project(background) {
            let square = site.iter().map(|x| x * x).sum::<f64>().max(1e-12);
            let along = site.iter().zip(&coordinates).map(|(b, x)| b * x).sum::<f64>() / square;
            coordinates.iter_mut().zip(&site).for_each(|(x, b)| *x -= along * b);
        }
        Some(coordinates.iter().map(|x| (x * STEPS).round().clamp(-127.0, 127.0) as i8).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_projections_of_the_difference_from_the_mean() {
        let space = LabelSpace::new(vec![1.0, 2.0], vec![1.0, 0.0, 0.5, -0.5, 0.0, 10.0]).unwrap();
        assert_eq!(space.project(&[3.0, 1.0]).unwrap(), [2.0, 1.5, -10.0]);
        assert_eq!(space.embed(&[3.0, 1.0], &[]).unwrap(), [64, 48, -127]);
        assert_eq!(space.embed(&[3.0], &[]), None);
        // the site lies along (2, 1, 0): 5.5/5 of it is taken off
        assert_eq!(space.embed(&[3.0, 1.0], &[3.0, 2.0]).unwrap(), [-6, 13, -127]);
        assert_eq!(LabelSpace::new(vec![1.0, 2.0], vec![1.0]), None);
    }
}
