//! Whether the clock is right, since events carry its times.

use std::path::Path;

use super::finding::Finding;
use super::shell::ask;

const CHECK: &str = "clock";
/// The beginning of 2025: nothing of this program is older.
const EARLIEST_S: i64 = 1_735_689_600;

pub(super) fn check() -> Finding {
    let now = jiff::Timestamp::now();
    let shown = format!("{now:.0}");
    if now.as_second() < EARLIEST_S {
        return Finding::warn(
            CHECK,
            format!("it says {shown}, which cannot be"),
            "set it (`timedatectl set-ntp true`): events carry its times, and certificates are not valid yet",
        );
    }
    // systemd-timesyncd leaves this file once it has set the clock
    let timesyncd = Path::new("/run/systemd/timesync/synchronized").exists();
    let said = || ask("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]);
    match if timesyncd { Some("yes".to_owned()) } else { said() }.as_deref().map(str::trim) {
        Some("yes") => Finding::ok(CHECK, "synchronised"),
        Some(_) => Finding::warn(
            CHECK,
            "it is not synchronised: times of events may be wrong",
            "`timedatectl set-ntp true`, or install systemd-timesyncd or chrony",
        ),
        None => Finding::ok(CHECK, format!("{shown}; nobody here says whether it is synchronised")),
    }
}
