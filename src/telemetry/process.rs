//! Figures of the kernel about this process.

use std::sync::OnceLock;

/// Resident memory in bytes, from `/proc/self/status`, which counts in KiB whatever the size of a page; none where there is no
/// such file.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Names what gives memory that was freed back to the system; the first one counts. Allocators keep most of it otherwise: what
/// learning took for a second stays resident.
pub fn on_freed_memory(give_back: fn()) {
    let _ = GIVE_BACK.set(give_back);
}

/// Gives memory that was freed back to the system, where somebody has named how.
pub(crate) fn give_memory_back() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}

/// Processor time of all threads since the start, seconds, user and system, from `/proc/self/stat`; none where there is no such file.
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    cpu(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Ticks a second in `/proc`, the same on every machine (`USER_HZ`).
const TICKS: f64 = 100.0;

fn cpu(stat: &str) -> Option<f64> {
    // the name of the program, in brackets, may hold anything
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS)
}

/// Cores that this process may run on, two threads of one core counted once; at least 1.
#[must_use]
pub fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    let all = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let siblings =
        all.filter_map(|cpu| std::fs::read_to_string(cpu.path().join("topology/thread_siblings_list")).ok());
    match siblings.collect::<std::collections::HashSet<_>>().len() {
        0 => logical,
        cores => cores.min(logical),
    }
}

/// Open file handles, sockets and pipes among them, from `/proc/self/fd`; none where there is no such folder.
#[must_use]
pub fn open_files() -> Option<u64> {
    // one is that of the folder itself
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nRssAnon:\t 1 kB\n"), Some(12345 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn processor_time_and_open_files_are_those_of_this_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0";
        assert_eq!((cpu(stat), cpu("7 (x) S")), (Some(3.0), None));
        assert!(cpu_seconds().is_some_and(|seconds| seconds < 1e6));
        let before = open_files().unwrap();
        let held: Vec<_> = (0..40).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_files().unwrap() > before + 20, "{before}");
        drop(held);
    }
}
