//! The GPU, where one is asked for.

use std::fs;
use std::sync::Arc;

use super::finding::{DoctorReport, Finding};
use super::model::time;
use super::settings::streams;
use super::shell::ask;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::{self, Cpc};
use crate::runtime::trusted_difference;
use crate::units::counted;

const CHECK: &str = "GPU";

/// Looks at it. `reference` is the model on the processor.
pub(super) fn check(config: &Config, reference: Option<Arc<Cpc>>, report: &mut DoctorReport) -> Result<()> {
    let built = if cfg!(feature = "cuda") { "this build can use one" } else { "this build has no GPU code" };
    let driver = driver().unwrap_or_else(|| "no NVIDIA driver found".to_owned());
    // a device that is none is refused with the configuration
    if !matches!(model::check_device(&config.model.device), Ok(Some(_))) {
        return report.add(Finding::ok(CHECK, format!("not asked for; {built}; {driver}")));
    }
    let Some(reference) = reference else { return Ok(()) };
    report.add(match on_gpu(config, &reference) {
        Ok(text) => Finding::ok(CHECK, format!("{driver}; {text}")),
        Err(error) => Finding::warn(
            CHECK,
            format!("{driver}; {error}; the model runs on the CPU instead"),
            error.fix().to_owned(),
        ),
    })
}

fn on_gpu(config: &Config, reference: &Arc<Cpc>) -> Result<String> {
    let device = model::compute_device(&config.model.device)?;
    let (_, cpc) = model::open(config.model.file(), &device)?;
    let stepping = config.model.stepping();
    let off = model::max_pmi_difference(&cpc, stepping, reference)?;
    if off > trusted_difference(config.model.precision) {
        return Err(Error::model(
            format!("its scores are off by up to {off:.1e} nats"),
            "another driver may help; set device = \"cpu\" in [model] until then",
        ));
    }
    let count = streams(config).max(1);
    let times = time(&cpc, stepping, (count, 1))?;
    Ok(format!(
        "a hop of {} takes {times}; scores differ from the CPU's by {off:.1e} nats",
        counted(count, "stream")
    ))
}

/// Name of the GPU and version of the driver.
fn driver() -> Option<String> {
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    if let Some(said) = ask("nvidia-smi", &query) {
        let cards: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        return (!cards.is_empty()).then(|| cards.join("; "));
    }
    let of_kernel = fs::read_to_string("/proc/driver/nvidia/version").ok();
    let tegra = || fs::read_to_string("/etc/nv_tegra_release").ok();
    of_kernel.or_else(tegra)?.lines().next().map(str::trim).map(str::to_owned)
}
