//! Errors of the library as exceptions.

use cpc_stream::{Error, ErrorKind};
use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};

/// A settings or model error is a `ValueError`, an error of an audio file an `OSError`, another one a `RuntimeError`; each with cause and fix.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(crate) fn exception(error: Error) -> PyErr {
    let text = format!("{error}: {}", error.fix());
    match error.kind() {
        ErrorKind::Config | ErrorKind::Model => PyValueError::new_err(text),
        ErrorKind::Device => PyOSError::new_err(text),
        ErrorKind::Broker | ErrorKind::Internal => PyRuntimeError::new_err(text),
    }
}
