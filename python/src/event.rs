//! Findings as dicts.

use cpc_stream::Finding;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The finding as a dict with the keys and values of the JSON that the daemon and `cpc-stream score` write.
pub(crate) fn dict<'py>(py: Python<'py>, finding: &Finding) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(finding)
        .map_err(|error| PyRuntimeError::new_err(format!("an event cannot be written: {error}")))?;
    py.import("json")?.call_method1("loads", (text,))
}
