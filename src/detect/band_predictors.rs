//! What the past of a site predicts of its bands.

use serde::{Deserialize, Serialize};

use super::kept::Bands;
use super::linear_predictor::LinearPredictor;
use super::row_layout::{LAG, WARM_UP, too_short};
use crate::detect::exact::exact;
use crate::error::Result;
use crate::units::BANDS;

/// Most frames that a prediction is fitted to: neighbours say nearly the same.
const MOST: usize = 6000;
/// Numbers of a trend.
pub(super) const TREND: usize = 3 * BANDS;
/// Frames that the two averages of a trend remember.
const REMEMBERED: [f32; 2] = [5.0, 30.0];

/// The bands of a frame and their averages over some 50 and 300 ms.
#[derive(Debug, Clone)]
pub(super) struct BandHistory {
    averages: [[f32; BANDS]; 2],
    begun: bool,
}

exact!(BandHistory { averages, begun });

impl BandHistory {
    /// Of a stream that begins.
    pub(super) fn new() -> Self {
        Self { averages: [[0.0; BANDS]; 2], begun: false }
    }

    /// Takes the next frame and gives its trend: bands, shorter average, longer average.
    pub(super) fn push(&mut self, bands: &[f32]) -> [f32; TREND] {
        for (average, remembered) in self.averages.iter_mut().zip(REMEMBERED) {
            let rate = if self.begun { 1.0 - (-1.0 / remembered).exp() } else { 1.0 };
            average.iter_mut().zip(bands).for_each(|(a, x)| *a += rate * (x - *a));
        }
        self.begun = true;
        let mut trend = [0.0; TREND];
        let all = bands.iter().chain(self.averages.iter().flatten());
        trend.iter_mut().zip(all).for_each(|(to, x)| *to = *x);
        trend
    }
}

/// Linear predictions of the bands 30 ms later: from the context c_t, and from the trend of the bands themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BandPredictors {
    pub(super) from_context: LinearPredictor,
    pub(super) from_trend: LinearPredictor,
}

impl BandPredictors {
    /// Of the `bands` of consecutive frames and of their contexts, `[width]`, which `context` writes; at each of `breaks`
    /// (ascending) the sound begins anew.
    ///
    /// # Errors
    /// When there are fewer than 2 s.
    pub(super) fn fit(
        bands: &(impl Bands + ?Sized),
        context: &dyn Fn(usize, &mut [f32]),
        width: usize,
        breaks: &[usize],
    ) -> Result<Self> {
        let n = bands.count();
        if n < 2 * WARM_UP {
            return Err(too_short(n / 100));
        }
        let broken = |i: usize| breaks.iter().any(|&at| at <= i && i < at + LAG);
        let chosen: Vec<usize> = (WARM_UP..n).step_by((n / MOST).max(1)).filter(|&i| !broken(i)).collect();
        let from_context = |take: &mut dyn FnMut(&[f32], &[f32])| {
            let (mut before, mut next) = (vec![0.0; width], chosen.iter().peekable());
            for (i, frame) in bands.frames().enumerate() {
                if next.next_if(|chosen| **chosen == i).is_some() {
                    context(i - LAG, &mut before);
                    take(&before, &frame);
                }
            }
        };
        let from_trend = |take: &mut dyn FnMut(&[f32], &[f32])| {
            let (mut trend, mut before) = (BandHistory::new(), [[0.0; TREND]; LAG]);
            let mut next = chosen.iter().peekable();
            for (i, frame) in bands.frames().enumerate() {
                if breaks.binary_search(&i).is_ok() {
                    trend = BandHistory::new();
                }
                let place = &mut before[i % LAG];
                if next.next_if(|chosen| **chosen == i).is_some() {
                    take(place, &frame);
                }
                *place = trend.push(&frame);
            }
        };
        Ok(Self {
            from_context: LinearPredictor::fit(&from_context, width)?,
            from_trend: LinearPredictor::fit(&from_trend, TREND)?,
        })
    }

    /// Whether this could have come from a fit to contexts of `width` values.
    pub(super) fn is_whole(&self, width: usize) -> bool {
        self.from_context.is_whole(width) && self.from_trend.is_whole(TREND)
    }
}
