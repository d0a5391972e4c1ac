//! What the kernel says of this process.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nRssAnon:\t 1 kB\n"), Some(12345 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
