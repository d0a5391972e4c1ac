//! Permissions of this user, and other programs that capture.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// The fix where a device exists and this user may not open it; `None` where that is not the reason.
pub(super) fn missing() -> Option<String> {
    if !forbidden(Path::new("/dev/snd")) {
        return None;
    }
    let user = std::env::var("USER").unwrap_or_default();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    Some(match is_member(&groups, "audio", &user) {
        true => format!("log out and in again: the group `audio` of {user} counts from the next login"),
        false => {
            "add this user to the group `audio`: sudo usermod -aG audio $USER, then log in again".to_owned()
        }
    })
}

/// Whether cards are there and none of them may be opened. Mixers are tried, since opening a microphone takes it.
fn forbidden(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mixers = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("controlC"));
    let outcomes: Vec<bool> = mixers
        .map(|mixer| File::open(mixer.path()).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied))
        .collect();
    !outcomes.is_empty() && outcomes.iter().all(|denied| *denied)
}

fn is_member(groups: &str, group: &str, user: &str) -> bool {
    let line = groups.lines().find_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
    line.and_then(|line| line.rsplit(':').next()).is_some_and(|members| members.split(',').any(|m| m == user))
}

/// Programs that capture from a card now, by the kernel's list: `card1: arecord (process 4711)`.
pub(super) fn holders(proc: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for card in folders(&proc.join("asound"), "card") {
        for device in folders(&proc.join("asound").join(&card), "pcm").iter().filter(|pcm| pcm.ends_with('c'))
        {
            for part in folders(&proc.join("asound").join(&card).join(device), "sub") {
                let status = proc.join("asound").join(&card).join(device).join(part).join("status");
                let text = fs::read_to_string(status).unwrap_or_default();
                let Some(thread) = text.lines().find_map(|line| line.strip_prefix("owner_pid")) else {
                    continue;
                };
                let thread = thread.trim_start_matches([' ', ':']).trim();
                found.push(format!("{card}: {}", named(proc, thread)));
            }
        }
    }
    found
}

fn folders(at: &Path, start: &str) -> Vec<String> {
    let entries = fs::read_dir(at).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(start));
    names.sort();
    names
}

/// The program that a thread belongs to.
pub(super) fn named(proc: &Path, thread: &str) -> String {
    let status = fs::read_to_string(proc.join(thread).join("status")).unwrap_or_default();
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")).unwrap_or(thread).trim();
    match fs::read_to_string(proc.join(process).join("comm")) {
        Ok(name) => format!("{} (process {process})", name.trim()),
        Err(_) => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_card_is_named() {
        let proc = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = proc.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("asound/card0/pcm0c/sub0/status", "closed\n");
        write("asound/card1/pcm0p/sub0/status", "state: RUNNING\nowner_pid   : 1\n");
        write("asound/card1/pcm0c/sub0/status", "state: RUNNING\nowner_pid   : 4712\ntrigger_time: 1\n");
        assert_eq!(holders(proc.path()), ["card1: process 4712"]);
        write("4712/status", "Name:\tcpal_alsa_in\nTgid:\t4711\nPid:\t4712\n");
        write("4711/comm", "arecord\n");
        assert_eq!(holders(proc.path()), ["card1: arecord (process 4711)"]);
        assert!(holders(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn members_of_a_group() {
        let groups = "root:x:0:\naudio:x:29:ear,pulse\naudio2:x:30:other\n";
        assert!(is_member(groups, "audio", "ear") && is_member(groups, "audio", "pulse"));
        assert!(!is_member(groups, "audio", "other") && !is_member(groups, "audio", "ea"));
        assert!(!is_member("", "audio", "ear") && !forbidden(Path::new("/nowhere")));
    }
}
