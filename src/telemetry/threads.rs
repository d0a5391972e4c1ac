//! Activity of the threads of this process, as the kernel counts it.

use std::fs;
use std::path::PathBuf;

/// A thread of this process, known by its name.
#[derive(Debug)]
pub struct ThreadMonitor {
    name: &'static str,
    status: Option<PathBuf>,
}

/// Activity of a thread since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadActivity {
    /// Voluntary context switches: the count grows while a thread waits and wakes.
    pub waits: u64,
    /// It waits for a disk (state D) and cannot be interrupted.
    pub for_disk: bool,
}

impl ThreadMonitor {
    /// Watches the thread called `name` (15 bytes at most, the kernel keeps no more).
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, status: None }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Activity of the thread; `None` where there is no such thread.
    pub fn activity(&mut self) -> Option<ThreadActivity> {
        if self.status.is_none() {
            self.status = find(self.name);
        }
        let found = self.status.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let movement = found.as_deref().and_then(parse);
        if movement.is_none() {
            self.status = None;
        }
        movement
    }
}

fn find(name: &str) -> Option<PathBuf> {
    fs::read_dir("/proc/self/task").ok()?.flatten().map(|entry| entry.path()).find_map(|task| {
        let comm = fs::read_to_string(task.join("comm")).ok()?;
        (comm.trim_end() == name).then(|| task.join("status"))
    })
}

fn parse(status: &str) -> Option<ThreadActivity> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let for_disk = field("State")?.starts_with('D');
    Some(ThreadActivity { waits: field("voluntary_ctxt_switches")?.parse().ok()?, for_disk })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_wakes_moves_and_one_that_waits_does_not() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let wakes = std::thread::Builder::new().name("it-wakes".into()).spawn(move || {
            while stopped
                .recv_timeout(Duration::from_millis(1))
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {}
        });
        let waits = std::thread::Builder::new().name("it-waits".into()).spawn(move || {
            let _ = ended.recv();
        });
        std::thread::sleep(Duration::from_millis(50));
        let mut watches = [ThreadMonitor::new("it-wakes"), ThreadMonitor::new("it-waits")];
        let before = watches.each_mut().map(|watch| watch.activity().unwrap());
        std::thread::sleep(Duration::from_millis(200));
        let after = watches.each_mut().map(|watch| watch.activity().unwrap());
        assert!(after[0].waits > before[0].waits);
        assert_eq!(after[1].waits, before[1].waits);
        drop((stop, end));
        wakes.unwrap().join().unwrap();
        waits.unwrap().join().unwrap();
        assert_eq!(watches[0].activity(), None);
    }

    #[test]
    fn the_state_of_a_disk_wait_is_known() {
        let text =
            "Name:\tx\nState:\tD (disk sleep)\nnonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(parse(text), Some(ThreadActivity { waits: 7, for_disk: true }));
        assert_eq!(parse("State:\tS\n"), None);
    }
}
