//! Sound as Python gives it: arrays, or the path of an audio file.

use std::path::PathBuf;

use cpc_stream::internal::corpus::SoundFile;
use numpy::{PyArray1, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Rate of the model in Hz.
const MODEL_RATE: u32 = cpc_stream::internal::units::MODEL_RATE;

/// A recording: mono samples with their rate in Hz, or an audio file.
pub(crate) enum Recording {
    /// In memory.
    Samples(Vec<f32>, u32),
    /// On the disk.
    File(PathBuf),
}

impl Recording {
    /// The recording that an argument names: a `str` or a `PathLike` is an audio file, which has its own rate, anything else is samples.
    pub(crate) fn of(recording: &Bound<'_, PyAny>, sample_rate: Option<u32>) -> PyResult<Self> {
        let path = recording.is_instance_of::<PyString>() || recording.hasattr("__fspath__")?;
        match (path, sample_rate) {
            (true, None) => Ok(Self::File(recording.extract()?)),
            (true, Some(_)) => Err(PyTypeError::new_err(
                "sample_rate is given with an audio file, which has its own: leave it out",
            )),
            (false, Some(rate)) => Ok(Self::Samples(mono(recording)?, rate)),
            (false, None) => {
                Err(PyTypeError::new_err("sample_rate is missing: give the rate of the samples in Hz"))
            }
        }
    }

    /// Pieces of about a second, and their rate in Hz.
    pub(crate) fn pieces(self) -> cpc_stream::Result<(Pieces, u32)> {
        match self {
            Self::Samples(samples, rate) => Ok((Pieces::Samples { samples, at: 0, rate }, rate)),
            Self::File(path) => Ok((Pieces::File(Box::new(SoundFile::open(&path)?)), MODEL_RATE)),
        }
    }

    /// All samples, and their rate in Hz.
    pub(crate) fn whole(self) -> cpc_stream::Result<(Vec<f32>, u32)> {
        match self {
            Self::Samples(samples, rate) => Ok((samples, rate)),
            Self::File(path) => {
                let mut file = SoundFile::open(&path)?;
                let mut samples = Vec::new();
                while file.read(&mut samples)? {}
                Ok((samples, MODEL_RATE))
            }
        }
    }
}

/// A recording piece by piece.
pub(crate) enum Pieces {
    Samples { samples: Vec<f32>, at: usize, rate: u32 },
    File(Box<SoundFile>),
}

impl Pieces {
    /// Puts the next piece into `piece`; false at the end.
    pub(crate) fn next(&mut self, piece: &mut Vec<f32>) -> cpc_stream::Result<bool> {
        piece.clear();
        match self {
            Self::Samples { samples, at, rate } => {
                let end = samples.len().min(*at + (*rate).max(1) as usize);
                piece.extend_from_slice(samples.get(*at..end).unwrap_or_default());
                *at = end;
                Ok(!piece.is_empty())
            }
            Self::File(file) => {
                while piece.len() < MODEL_RATE as usize {
                    if !file.read(piece)? {
                        return Ok(!piece.is_empty());
                    }
                }
                Ok(true)
            }
        }
    }
}

/// Mono samples as `f32`. They are copied once: another thread of Python may write into the array while the model computes.
pub(crate) fn mono(samples: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    let numpy = samples.py().import("numpy")?;
    let array = numpy.call_method1("asarray", (samples,))?.cast_into::<PyUntypedArray>()?;
    if array.ndim() != 1 {
        return Err(PyValueError::new_err(format!(
            "the samples have {} dimensions, expected 1: mix the channels, for example with samples.mean(axis=1)",
            array.ndim()
        )));
    }
    let full_scale = match (array.dtype().kind(), array.dtype().itemsize()) {
        (b'f', _) => 1.0,
        (b'i', 2) => 32_768.0,
        (b'i', 4) => 2_147_483_648.0,
        _ => {
            return Err(PyTypeError::new_err(format!(
                "the samples are of type {}, expected floats from -1 to 1, int16 or int32",
                array.dtype().str()?
            )));
        }
    };
    let floats = numpy.call_method1("ascontiguousarray", (array, "float32"))?.cast_into::<PyArray1<f32>>()?;
    let mut samples = floats.to_vec()?;
    if full_scale != 1.0 {
        samples.iter_mut().for_each(|x| *x /= full_scale);
    }
    Ok(samples)
}
