//! The service of systemd.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::Finding;
use super::shell::ask;
use crate::units::counted;

const CHECK: &str = "service";
const ASKED: [&str; 5] = [
    "show",
    "cpc-stream",
    "-p",
    "LoadState,ActiveState,WatchdogUSec,NRestarts,Result,UnitFileState",
    "--no-pager",
];

pub(super) fn check() -> Finding {
    if !Path::new("/run/systemd/system").exists() {
        return Finding::ok(CHECK, "no systemd here: nobody restarts the daemon if it fails");
    }
    match ask("systemctl", &ASKED) {
        Some(said) => judge(&said),
        None => Finding::ok(CHECK, "systemd does not answer"),
    }
}

fn judge(said: &str) -> Finding {
    let of: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |key: &str| of.get(key).copied().unwrap_or("unknown");
    if value("LoadState") != "loaded" {
        return Finding::ok(CHECK, "no unit cpc-stream is installed");
    }
    let restarts = value("NRestarts");
    match (value("ActiveState"), value("WatchdogUSec")) {
        ("active", "0" | "infinity") => Finding::warn(
            CHECK,
            "it runs without a watchdog: a hang stays unseen",
            "set WatchdogSec=7 in the unit, as systemd/cpc-stream.service does",
        ),
        ("active", watchdog) if restarts == "0" || restarts == "unknown" => {
            Finding::ok(CHECK, format!("it runs, watchdog {watchdog}"))
        }
        ("active", watchdog) => Finding::warn(
            CHECK,
            format!(
                "it runs, watchdog {watchdog}, and was restarted {} since it was started",
                counted(restarts.parse::<u64>().unwrap_or(0), "time")
            ),
            "`journalctl -u cpc-stream` says why",
        ),
        ("failed", _) => Finding::warn(
            CHECK,
            format!("it has failed ({})", value("Result")),
            "`journalctl -u cpc-stream -n 50` says why; then `systemctl restart cpc-stream`",
        ),
        (state, _) => Finding::warn(
            CHECK,
            format!("it is installed, {} and {state}", value("UnitFileState")),
            "`sudo systemctl enable --now cpc-stream` starts it, now and at each boot",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn systemd_states_are_explained() {
        for (said, level, word) in [
            ("LoadState=not-found\nActiveState=inactive", Level::Ok, "no unit"),
            ("LoadState=loaded\nActiveState=active\nWatchdogUSec=7s\nNRestarts=0", Level::Ok, "watchdog 7s"),
            ("LoadState=loaded\nActiveState=active\nWatchdogUSec=0\nNRestarts=0", Level::Warn, "hang"),
            ("LoadState=loaded\nActiveState=active\nWatchdogUSec=7s\nNRestarts=3", Level::Warn, "3 times"),
            ("LoadState=loaded\nActiveState=failed\nResult=watchdog", Level::Warn, "watchdog"),
            ("LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled", Level::Warn, "disabled"),
            ("", Level::Ok, "no unit"),
        ] {
            let finding = judge(said);
            assert_eq!(finding.level, level, "{said}");
            assert!(finding.text.contains(word), "{said}: {}", finding.text);
        }
    }
}
