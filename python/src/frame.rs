//! What a stream gives beside events.

use cpc_stream::ScoredFrame;
use numpy::PyArray1;
use pyo3::prelude::*;

/// The model's output for a hop of 10 ms, and its scores.
#[pyclass(frozen, get_all, module = "cpc_stream")]
pub(crate) struct Frame {
    /// Number of the hop: it covers the samples 160 index to 160 index + 159 at 16 kHz. Numbers skip over gaps.
    index: u64,
    /// End of the hop in seconds from the start of the stream.
    end_s: f64,
    /// Latent, float32 [latent_width].
    z: Py<PyArray1<f32>>,
    /// Context, float32 [context_width].
    c: Py<PyArray1<f32>>,
    /// Pointwise mutual information of z with the contexts 1 to K hops before in nats, float32 [horizons]; NaN where the context does not exist
    /// yet.
    pmi: Py<PyArray1<f32>>,
    /// Mean of -PMI in robust deviations from normal; None while the stream learns, and in silence and gaps.
    surprise: Option<f64>,
    /// Mahalanobis distance of the band statistics of 0.5 s, about 1 for normal sound; None as for surprise.
    novelty: Option<f64>,
    /// Tail probability per second of normal sound, 1e-12 to 1; None as for surprise.
    p: Option<f64>,
    /// Level of the hop in dB relative to full scale, -120 for silence.
    level_dbfs: f32,
    /// Share of the calibration that is done, 0 to 1; None once the stream watches.
    learning: Option<f32>,
}

impl Frame {
    pub(crate) fn new(py: Python<'_>, frame: ScoredFrame) -> Self {
        let array = |values| PyArray1::from_vec(py, values).unbind();
        Self {
            index: frame.index,
            end_s: frame.end_s,
            z: array(frame.z),
            c: array(frame.c),
            pmi: array(frame.pmi),
            surprise: frame.surprise,
            novelty: frame.novelty,
            p: frame.p,
            level_dbfs: frame.level_dbfs,
            learning: frame.learning,
        }
    }
}

#[pymethods]
impl Frame {
    fn __repr__(&self) -> String {
        let p = self.p.map_or_else(|| "None".to_owned(), |p| format!("{p:.2e}"));
        format!("Frame(index={}, end_s={:.2}, p={p})", self.index, self.end_s)
    }
}

/// The stream has learnt what is normal, or learnt it anew after the place changed.
#[pyclass(frozen, module = "cpc_stream")]
pub(crate) struct Calibrated;

#[pymethods]
impl Calibrated {
    fn __repr__(&self) -> &'static str {
        "Calibrated()"
    }
}
