//! Limits requested of the kernel, and whether it grants them.

use std::thread;

use rustix::process::{Resource, getrlimit};

use super::finding::{DoctorReport, Finding};
use crate::capture::CaptureConfig;
use crate::error::Result;
use crate::realtime;

const PRIORITY: &str = "real-time priority";
const MEMORY: &str = "locked memory";

pub(super) fn check(capture: &CaptureConfig, report: &mut DoctorReport) -> Result<()> {
    report.add(priority(capture.realtime_priority))?;
    report.add(memory(capture.lock_memory))
}

fn priority(asked: u8) -> Finding {
    if asked == 0 {
        return Finding::ok(PRIORITY, "not asked for");
    }
    // a thread asks for itself, and this one ends
    let outcome =
        thread::Builder::new().spawn(move || realtime::promote(asked)).map(thread::JoinHandle::join);
    match outcome {
        Ok(Ok(Ok(()))) => Finding::ok(PRIORITY, format!("{asked} is granted here")),
        Ok(Ok(Err(reason))) => Finding::warn(
            PRIORITY,
            format!("{asked} is asked for and refused to this user: {reason}; the daemon goes on without"),
            format!(
                "`ulimit -r {asked}` or /etc/security/limits.d; under systemd LimitRTPRIO=, which the unit has"
            ),
        ),
        _ => Finding::ok(PRIORITY, "could not be tried"),
    }
}

fn memory(asked: bool) -> Finding {
    if !asked {
        return Finding::ok(MEMORY, "not asked for");
    }
    let fix = "`ulimit -l unlimited` or /etc/security/limits.d; under systemd LimitMEMLOCK=infinity, which the unit has";
    match (realtime::lock_memory(), getrlimit(Resource::Memlock).current) {
        (Err(reason), _) => Finding::warn(
            MEMORY,
            format!("it is asked for and refused to this user: {reason}; the daemon goes on without"),
            fix,
        ),
        (Ok(()), Some(limit)) => Finding::warn(
            MEMORY,
            format!("the limit is {} KiB, so that only what is there at the start is locked", limit / 1024),
            fix,
        ),
        (Ok(()), None) => Finding::ok(MEMORY, "granted here"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn limits_that_are_not_requested_pass() {
        assert_eq!(priority(0).level, Level::Ok);
        assert_eq!(memory(false).level, Level::Ok);
        let asked = priority(1);
        assert!(asked.level == Level::Ok || asked.fix.is_some_and(|fix| fix.contains("ulimit -r 1")));
    }
}
