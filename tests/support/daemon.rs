//! The real program as a child process.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cpc_stream::internal::event::Event;

use super::broker::{await_for, signal};

/// The program with an environment of its own: nothing of the caller's settings, state below `home`.
pub fn program(home: &Path) -> Command {
    clean(home, env!("CARGO_BIN_EXE_cpc-stream"))
}

/// `cpc-lab` with such an environment.
#[cfg(feature = "lab")]
pub fn lab_program(home: &Path) -> Command {
    clean(home, env!("CARGO_BIN_EXE_cpc-lab"))
}

fn clean(home: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    let foreign = |name: &str| {
        name.starts_with("CPC_STREAM_")
            || ["RUST_LOG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY"]
                .contains(&name)
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(foreign) {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).current_dir(home);
    command
}

/// What a finished program left.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; None where a signal ended it.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Outcome {
    /// The event documents on stdout.
    pub fn events(&self) -> Vec<Event> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A running program. It is killed when this goes.
pub struct Daemon {
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// Starts `command` and collects what it says. Its stdin is empty unless the caller piped it.
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self { child, stdout, stderr, readers }
    }

    /// The node `hall` with this configuration, which hears floats on its standard input.
    pub fn of_a_pipe(home: &Path, config: &str, broker: &str) -> Self {
        std::fs::write(home.join("c.toml"), config).unwrap();
        let mut command = program(home);
        command
            .args(["--config", "c.toml", "--input", "-", "--stdin-float", "--node", "hall"])
            .args(["--broker", broker, "--state-dir", "state"])
            .stdin(Stdio::piped());
        Self::start(&mut command)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, MiB.
    pub fn resident_mib(&self) -> f64 {
        self.memory_mib("VmRSS:")
    }

    /// Its resident memory without that of files, which comes and goes by some MiB, MiB.
    pub fn own_mib(&self) -> f64 {
        self.memory_mib("RssAnon:")
    }

    fn memory_mib(&self, key: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The writing end of its stdin, where it was piped.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin is piped")
    }

    /// Lines on stderr so far.
    pub fn log(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// Lines on stdout so far.
    pub fn said(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// Waits for a line on stderr that has all of `words`.
    pub fn await_log(&self, words: &[&str], limit: Duration) -> String {
        await_for(&format!("a log line with {words:?}"), limit, || {
            self.log().into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM; the exit code and how long it took, at most `limit`.
    pub fn stop(self, limit: Duration) -> (Outcome, Duration) {
        signal(&self.child, "TERM");
        let asked = Instant::now();
        (self.finish(limit), asked.elapsed())
    }

    /// SIGKILL; what it had said until then.
    pub fn kill(mut self) -> Outcome {
        self.child.kill().unwrap();
        self.finish(Duration::from_secs(10))
    }

    /// Waits for its end.
    pub fn finish(mut self, limit: Duration) -> Outcome {
        let status: ExitStatus =
            await_for("the end of the program", limit, || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let text = |lines: &Mutex<Vec<String>>| lines.lock().unwrap().join("\n");
        Outcome { code: status.code(), stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // the only clue that a failed test leaves
            let _ = writeln!(std::io::stderr(), "the program said:\n{}", self.log().join("\n"));
        }
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    })
}

/// Runs the program with `arguments` to its end.
pub fn run(home: &Path, arguments: &[&str], limit: Duration) -> Outcome {
    Daemon::start(program(home).args(arguments).stdin(Stdio::null())).finish(limit)
}

/// The same with `cpc-lab`.
#[cfg(feature = "lab")]
pub fn lab(home: &Path, arguments: &[&str], limit: Duration) -> Outcome {
    Daemon::start(lab_program(home).args(arguments).stdin(Stdio::null())).finish(limit)
}
