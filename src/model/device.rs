//! The device of a model: CPU or GPU.

use candle_core::Device;

use crate::error::{Error, Result};

/// The device called `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// A config error where there is no such device, the build has no GPU code, or the GPU cannot be opened.
pub fn compute_device(name: &str) -> Result<Device> {
    let number = check_device(name)?;
    let Some(number) = number else { return Ok(Device::Cpu) };
    Device::new_cuda(number).map_err(|e| {
        Error::config(
            format!("GPU {number} cannot be opened: {e}").lines().next().unwrap_or_default(),
            "install NVIDIA's driver and cuBLAS and cuRAND of CUDA, and look with `nvidia-smi`; or set device = \"cpu\" in [model]",
        )
    })
}

/// The number of the GPU that `name` means, none for the CPU.
///
/// # Errors
/// As [`compute_device`], without opening anything.
pub fn check_device(name: &str) -> Result<Option<usize>> {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    match (kind, number.parse().ok()) {
        ("cpu", _) if kind == name => Ok(None),
        ("cuda", Some(_)) if !cfg!(feature = "cuda") => Err(Error::config(
            "this build has no GPU code",
            "build with `--features cuda`, or take the device cpu",
        )),
        ("cuda", Some(number)) => Ok(Some(number)),
        _ => Err(Error::config(format!("unknown device `{name}`"), "give cpu, cuda or cuda:N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names() {
        assert_eq!(check_device("cpu").unwrap(), None);
        for wrong in ["", "gpu", "cuda:x", "cpu:1"] {
            assert!(check_device(wrong).unwrap_err().to_string().contains("unknown device"), "{wrong}");
        }
        assert_eq!(check_device("cuda:1").is_ok(), cfg!(feature = "cuda"));
    }
}
