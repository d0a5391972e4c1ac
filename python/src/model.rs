//! A model, and what it makes of recordings.

use std::path::PathBuf;

use cpc_stream::{Finding, Listener, Output};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::event::dict;
use crate::failure::exception;
use crate::samples::{Pieces, Recording};
use crate::settings::settings;

/// Pieces between two looks for Ctrl-C.
const PIECES: usize = 30;

/// A CPC model: encoder, context network, prediction heads and negatives. It never changes; threads may share it.
#[pyclass(frozen, module = "cpc_stream")]
pub(crate) struct Model(pub(crate) cpc_stream::Model);

/// Latents `[frames, latent_width]` and contexts `[frames, context_width]`.
type Encoded<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<f32>>);

#[pymethods]
impl Model {
    /// Opens the model in a file that `cpc-lab train` or `cpc-lab import` wrote; the built-in one without a path.
    ///
    /// Raises ValueError where the file cannot be read or is damaged.
    ///
    /// >>> import cpc_stream
    /// >>> cpc_stream.Model.load().sha256[:8].isalnum()
    /// True
    #[staticmethod]
    #[pyo3(signature = (path=None))]
    fn load(py: Python<'_>, path: Option<PathBuf>) -> PyResult<Self> {
        let opened = py.detach(|| path.map_or_else(cpc_stream::Model::built_in, cpc_stream::Model::load));
        opened.map(Self).map_err(exception)
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// The sha256 of its weights, 64 hex digits.
    #[getter]
    fn sha256(&self) -> &str {
        self.0.sha256()
    }

    /// The length of a latent z.
    #[getter]
    fn latent_width(&self) -> usize {
        self.0.latent_width()
    }

    /// The length of a context c.
    #[getter]
    fn context_width(&self) -> usize {
        self.0.context_width()
    }

    /// The number of hops ahead that the heads predict; 0 for a model without heads, which can encode and not score.
    #[getter]
    fn horizons(&self) -> usize {
        self.0.horizons()
    }

    fn __repr__(&self) -> String {
        format!("Model({:?}, sha256 {}…)", self.0.name(), self.0.sha256().get(..12).unwrap_or_default())
    }

    /// Latents z and contexts c of a recording, float32 arrays of shape [frames, latent_width] and [frames, context_width], a row every
    /// 10 ms. A last hop that the recording does not fill is left out.
    ///
    /// The recording is an array of mono samples with its sample_rate in Hz (floats from -1 to 1, int16 or int32), or the path of an audio
    /// file (WAV, FLAC, OGG, MP3, M4A and more), of which all channels are mixed.
    ///
    /// Raises OSError for a file that cannot be read or a rate that cannot be resampled, ValueError for samples that are not one-dimensional.
    ///
    /// >>> import numpy as np, cpc_stream
    /// >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    /// >>> z, c = cpc_stream.Model.load().encode(tone, 48_000)
    /// >>> len(z), len(c), z.dtype.name
    /// (100, 100, 'float32')
    #[pyo3(signature = (recording, sample_rate=None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        recording: &Bound<'py, PyAny>,
        sample_rate: Option<u32>,
    ) -> PyResult<Encoded<'py>> {
        let recording = Recording::of(recording, sample_rate)?;
        let features = py
            .detach(|| recording.whole().and_then(|(samples, rate)| self.0.encode(&samples, rate)))
            .map_err(exception)?;
        // the rows become numpy's without a copy
        let rows = |values, width| PyArray1::from_vec(py, values).reshape([features.frames, width]);
        Ok((rows(features.z, features.latent_width)?, rows(features.c, features.context_width)?))
    }

    /// The events in a recording, a list of dicts with the keys of the JSON documents ("onset_s", "offset_s", "kind", "severity",
    /// "summary", ...), each with its final figures. The recording is given as for encode.
    ///
    /// The first calibrate_seconds (10 to 3600) are what is normal. events_per_hour (0.01 to 3600) is the false-alarm budget. With
    /// hold_budget alarms raise the threshold, as in the daemon. The defaults are those of `cpc-stream score`.
    ///
    /// Raises ValueError where the recording has less usable sound than calibrate_seconds, and as encode does.
    ///
    /// >>> import numpy as np, cpc_stream
    /// >>> room = 0.01 * np.random.default_rng(1).standard_normal(30 * 16_000)
    /// >>> room[25 * 16_000:][:4_000] += 0.3 * np.sin(2 * np.pi * 3_000 * np.arange(4_000) / 16_000)
    /// >>> for event in cpc_stream.Model.load().score(room, 16_000, calibrate_seconds=20):
    /// ...     print(round(event["onset_s"]), event["kind"])
    /// 25 foreign
    #[pyo3(signature = (recording, sample_rate=None, *, calibrate_seconds=300.0, events_per_hour=12.0, hold_budget=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn score<'py>(
        &self,
        py: Python<'py>,
        recording: &Bound<'py, PyAny>,
        sample_rate: Option<u32>,
        calibrate_seconds: f64,
        events_per_hour: f64,
        hold_budget: bool,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let settings = settings(calibrate_seconds, events_per_hour, hold_budget).without_frames();
        let recording = Recording::of(recording, sample_rate)?;
        let mut scoring = py
            .detach(|| {
                let (pieces, rate) = recording.pieces()?;
                Scoring::new(Listener::new(&self.0, &settings)?, pieces, rate)
            })
            .map_err(exception)?;
        while py.detach(|| scoring.advance()).map_err(exception)? {
            py.check_signals()?;
        }
        let (findings, calibrated) = py.detach(|| scoring.end()).map_err(exception)?;
        if !calibrated {
            return Err(PyValueError::new_err(format!(
                "the recording has less usable sound than the {calibrate_seconds} s of calibrate_seconds: give a longer one, or calibrate on less"
            )));
        }
        findings.iter().map(|finding| dict(py, finding)).collect()
    }
}

/// A recording on its way through a listener.
struct Scoring {
    listener: Listener,
    stream: cpc_stream::StreamId,
    pieces: Pieces,
    findings: Vec<Finding>,
}

impl Scoring {
    fn new(mut listener: Listener, pieces: Pieces, rate: u32) -> cpc_stream::Result<Self> {
        let stream = listener.add_stream(rate)?;
        Ok(Self { listener, stream, pieces, findings: Vec::new() })
    }

    /// Scores the next half minute; false at the end.
    fn advance(&mut self) -> cpc_stream::Result<bool> {
        let mut piece = Vec::new();
        for _ in 0..PIECES {
            if !self.pieces.next(&mut piece)? {
                return Ok(false);
            }
            self.listener.push(self.stream, &piece)?;
            let outputs = self.listener.step()?;
            self.keep(outputs);
        }
        Ok(true)
    }

    /// The findings, and whether the calibration was finished.
    fn end(mut self) -> cpc_stream::Result<(Vec<Finding>, bool)> {
        let (outputs, state) = self.listener.end(self.stream)?;
        self.keep(outputs);
        Ok((self.findings, state.is_some()))
    }

    fn keep(&mut self, outputs: Vec<Output>) {
        self.findings.extend(outputs.into_iter().filter_map(|output| match output {
            // the end of an event has its final figures
            Output::Finding { finding, .. } if finding.offset_s.is_some() => Some(*finding),
            _ => None,
        }));
    }
}
