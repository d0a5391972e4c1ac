//! The servers of a cluster.

use super::finding::DoctorReport;
#[cfg(feature = "cluster")]
use super::finding::Finding;
use crate::config::Config;
use crate::error::Result;

const CHECK: &str = "cluster";

#[cfg(feature = "cluster")]
pub(super) fn check(config: &Config, report: &mut DoctorReport) -> Result<()> {
    if !config.cluster.is_on() {
        return Ok(());
    }
    let mics = config.source.iter().filter(|source| source.mqtt.is_some()).count();
    let needs = (mics, config.detect.calibrate_seconds);
    match crate::cluster::survey(&config.cluster, &config.publish.prefix, needs) {
        Ok(found) => found.into_iter().try_for_each(|finding| {
            report.add(match finding.fix {
                Some(fix) => Finding::warn(CHECK, finding.text, fix),
                None => Finding::ok(CHECK, finding.text),
            })
        }),
        Err(error) => report.add(Finding::fail(CHECK, &error)),
    }
}

#[cfg(not(feature = "cluster"))]
pub(super) fn check(_: &Config, _: &mut DoctorReport) -> Result<()> {
    let _ = CHECK;
    Ok(())
}
