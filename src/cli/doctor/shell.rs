//! Other programs of the machine, asked with patience.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of an answer, at most; less than a pipe holds.
const LARGEST: u64 = 16 << 10;

/// The stdout of `program`; `None` where it is missing, fails, or takes too long.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let asked = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let mut said = String::new();
                child.stdout.take()?.take(LARGEST).read_to_string(&mut said).ok()?;
                return status.success().then_some(said);
            }
            Ok(None) if asked.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_answer_and_that_do_not() {
        assert_eq!(ask("echo", &["here"]).as_deref(), Some("here\n"));
        assert_eq!(ask("false", &[]), None);
        assert_eq!(ask("no-such-program-anywhere", &[]), None);
    }
}
