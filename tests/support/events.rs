//! Event documents for tests, and this test binary again as a child process.

use std::process::{Command, Stdio};

use cpc_stream::internal::event::Event;

/// An event document of `stream` whose number is `seq`, as many seconds after the start of the stream.
pub fn event(stream: &str, seq: u64) -> Event {
    Event { id: format!("{stream}-{seq}"), ..sample_event(stream, seq) }
}

include!("sample_event.rs");

/// This test binary, to run only its test `name`, with stdin and stdout piped.
pub fn this_binary(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}
