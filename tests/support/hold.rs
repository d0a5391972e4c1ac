//! A thread of a child that is held fast, as a deadlock or a driver would hold it.

use std::fs;
use std::time::Duration;

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::broker::await_for;

/// A thread that does not move until this is released (by the thread that holds it) or the test ends.
pub(crate) struct Hold(Pid);

/// Ids and names of the threads of process `pid`.
pub(crate) fn threads(pid: u32) -> Vec<(i32, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            Some((task.file_name().to_str()?.parse().ok()?, name.trim_end().to_owned()))
        })
        .collect()
}

impl Hold {
    /// Holds the thread of process `pid` whose name begins with `name`; none where the machine does not allow it.
    pub(crate) fn thread(pid: u32, name: &str) -> Option<Self> {
        let all = threads(pid);
        let (tid, _) = all
            .iter()
            .find(|(_, found)| found.starts_with(name))
            .unwrap_or_else(|| panic!("no thread {name} in {all:?}"));
        let thread = Pid::from_raw(*tid);
        ptrace::seize(thread, ptrace::Options::empty()).ok()?;
        ptrace::interrupt(thread).unwrap();
        let status = format!("/proc/{pid}/task/{tid}/status");
        await_for("the thread to stand", Duration::from_secs(10), || {
            fs::read_to_string(&status).unwrap().contains("State:\tt").then_some(())
        });
        Some(Self(thread))
    }

    /// Lets it go on.
    pub(crate) fn release(self) {
        // the stop must have been waited for before a detach counts
        let _ = nix::sys::wait::waitpid(self.0, Some(nix::sys::wait::WaitPidFlag::__WALL));
        ptrace::detach(self.0, None).unwrap();
    }
}
