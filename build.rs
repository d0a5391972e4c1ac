//! Compiles the kernels of the `cuda` feature; nothing to do without it.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const SOURCE: &str = "src/kernels/cuda/hop.cu";

/// Chips that get machine code: A100 and its kin, Jetson Orin, Ada, Hopper. Later ones compile the PTX of 8.0 at the start.
const CHIPS: [&str; 4] = ["80", "87", "89", "90"];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=NVCC");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return ExitCode::SUCCESS;
    }
    let nvcc = env::var("NVCC").unwrap_or_else(|_| "nvcc".to_owned());
    let Some(out) = env::var_os("OUT_DIR") else { return ExitCode::FAILURE };
    let chips = CHIPS.map(|chip| format!("-gencode=arch=compute_{chip},code=sm_{chip}"));
    let done = Command::new(&nvcc)
        .args(["--fatbin", "-O3", "-std=c++17", "-gencode=arch=compute_80,code=compute_80"])
        .args(chips)
        .arg("-o")
        .arg(PathBuf::from(out).join("hop.fatbin"))
        .arg(SOURCE)
        .status();
    match done {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!("cargo::error={nvcc} failed on {SOURCE}: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!(
                "cargo::error={nvcc} cannot be run ({error}): the feature `cuda` needs NVIDIA's compiler on PATH or in NVCC"
            );
            ExitCode::FAILURE
        }
    }
}
