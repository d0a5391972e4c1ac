//! The Python module `cpc_stream`: [`Model`](model::Model) for recordings and [`Stream`](stream::Stream) for live sound, over the library of
//! the same name. Python's lock is released while the model computes.

mod event;
mod failure;
mod frame;
mod model;
mod samples;
mod settings;
mod stream;

/// Representations of sound and anomaly events by Contrastive Predictive Coding (CPC).
///
/// `Model` opens a model, encodes recordings into latents z and contexts c, a row every 10 ms, and finds events in them. `Stream` does the
/// same for sound that comes piece by piece.
///
/// >>> import numpy as np, cpc_stream
/// >>> model = cpc_stream.Model.load()
/// >>> z, c = model.encode(np.zeros(16_000, np.float32), 16_000)
/// >>> z.shape == (100, model.latent_width), c.shape == (100, model.context_width)
/// (True, True)
#[pyo3::pymodule(name = "cpc_stream")]
mod module {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::{
        frame::{Calibrated, Frame},
        model::Model,
        stream::Stream,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
