//! Live sound.

use std::sync::{Mutex, PoisonError};

use cpc_stream::{Listener, Output, StreamId};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::event::dict;
use crate::failure::exception;
use crate::frame::{Calibrated, Frame};
use crate::model::Model;
use crate::samples::mono;
use crate::settings::settings;

/// A stream of sound, one microphone channel, scored as it comes. It learns first what is normal, then finds what is not.
///
/// calibrate_seconds (10 to 3600) of usable sound are learnt from. events_per_hour (0.01 to 3600) is the false-alarm budget, held by
/// raising the threshold with each alarm unless hold_budget is false. With frames=False only events and calibrations are returned. A stream
/// with the state of an earlier one watches at once. The defaults are those of the daemon.
///
/// What a stream finds does not depend on how its sound is cut into pieces. Calls from several threads wait for each other; streams of their own
/// run side by side.
///
/// Raises ValueError for a setting out of its range, a model without heads, or a state of another model.
///
/// >>> import numpy as np, cpc_stream
/// >>> stream = cpc_stream.Stream(cpc_stream.Model.load(), 48_000, calibrate_seconds=60)
/// >>> frames = stream.push(np.zeros(4_800, np.float32)) + stream.end()
/// >>> [frame.index for frame in frames][:3], frames[0].learning, stream.state
/// ([0, 1, 2], 0.0, None)
#[pyclass(frozen, module = "cpc_stream")]
pub(crate) struct Stream {
    live: Mutex<Live>,
}

struct Live {
    /// None after the end.
    listener: Option<(Listener, StreamId)>,
    /// What the stream had learnt at its end.
    state: Option<Vec<u8>>,
}

#[pymethods]
impl Stream {
    #[new]
    #[pyo3(signature = (
        model, sample_rate, *, calibrate_seconds=300.0, events_per_hour=1.0, hold_budget=true, frames=true, state=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        model: &Model,
        sample_rate: u32,
        calibrate_seconds: f64,
        events_per_hour: f64,
        hold_budget: bool,
        frames: bool,
        state: Option<&[u8]>,
    ) -> PyResult<Self> {
        let settings = settings(calibrate_seconds, events_per_hour, hold_budget);
        let settings = if frames { settings } else { settings.without_frames() };
        py.detach(|| {
            let mut listener = Listener::new(&model.0, &settings)?;
            let stream = match state {
                Some(state) => listener.resume_stream(sample_rate, state)?,
                None => listener.add_stream(sample_rate)?,
            };
            Ok(Self { live: Mutex::new(Live { listener: Some((listener, stream)), state: None }) })
        })
        .map_err(exception)
    }

    /// Scores the next mono samples at the rate of the stream, of any number. Returns a list, in the order of the sound, of Frame objects
    /// (one for each finished hop of 10 ms), a Calibrated object where the stream has learnt what is normal, and dicts of events. An event
    /// has a dict where it is confirmed (its "phase" is "new"), perhaps one where it becomes severe ("update"), and one at its end ("end");
    /// they share a "number".
    fn push<'py>(&self, py: Python<'py>, samples: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let samples = mono(samples)?;
        self.outputs(py, |listener, stream| {
            listener.push(stream, &samples)?;
            listener.step()
        })
    }

    /// Tells that so many samples are missing here: later times stay true, an ongoing event ends, and the networks begin anew.
    fn gap<'py>(&self, py: Python<'py>, samples: u64) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.outputs(py, |listener, stream| listener.gap(stream, samples))
    }

    /// Scores what is left and ends the stream; returns a list as push does. The stream takes no samples afterwards.
    fn end<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let ended = py.detach(|| {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut listener, stream) = live.listener.take()?;
            Some(listener.end(stream).map(|(outputs, state)| {
                live.state = state;
                outputs
            }))
        });
        objects(py, ended.ok_or_else(over)?.map_err(exception)?)
    }

    /// What the stream had learnt at its end, bytes for the state of a new stream (about a megabyte); None before the end, and where the
    /// calibration was not finished.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let state = py.detach(|| self.live.lock().unwrap_or_else(PoisonError::into_inner).state.clone());
        state.map(|state| PyBytes::new(py, &state))
    }
}

impl Stream {
    /// Runs `work` without Python's lock.
    fn outputs<'py>(
        &self,
        py: Python<'py>,
        work: impl FnOnce(&mut Listener, StreamId) -> cpc_stream::Result<Vec<Output>> + Send,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let outputs = py.detach(|| {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.listener.as_mut().map(|(listener, stream)| work(listener, *stream))
        });
        objects(py, outputs.ok_or_else(over)?.map_err(exception)?)
    }
}

fn over() -> PyErr {
    PyValueError::new_err("the stream has ended: make a new one, with its state to go on from what it learnt")
}

fn objects(py: Python<'_>, outputs: Vec<Output>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let object = |output| match output {
        Output::Frame(frame) => Some(Frame::new(py, *frame).into_bound_py_any(py)),
        Output::Calibrated { .. } => Some(Calibrated.into_bound_py_any(py)),
        Output::Finding { finding, .. } => Some(dict(py, &finding)),
        // the library may give more in a later version
        _ => None,
    };
    outputs.into_iter().filter_map(object).collect()
}
