//! Event documents for tests, and this test binary again as a child process.

use std::process::{Command, Stdio};

use cpc_stream::internal::event::Event;

/// An event document of `stream` whose number is `seq`, as many seconds after the start of the stream.
pub fn event(stream: &str, seq: u64) -> Event {
    let mut event: Event = serde_json::from_str(include_str!("event.json")).unwrap();
    (event.id, event.seq, event.stream) = (format!("{stream}-{seq}"), seq, stream.to_owned());
    let (finding, seconds) = (&mut event.finding, seq as f64);
    finding.number = seq;
    finding.onset_sample += 16_000 * seq;
    finding.onset_s += seconds;
    finding.emitted_s += seconds;
    finding.reported_s = finding.reported_s.map(|s| s + seconds);
    finding.peak_s += seconds;
    event
}

/// This test binary, to run only its test `name`, with stdin and stdout piped.
pub fn this_binary(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}
