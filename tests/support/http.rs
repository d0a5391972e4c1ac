//! A client as plain as can be, so that requests are what a test says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::daemon::{Daemon, program};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The code.
    pub code: u16,
    /// Status line and headers, as they came.
    pub head: String,
    /// What follows them.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// A daemon with a page that hears its standard input, and where the page is.
pub fn listening(home: &Path, calibrate_seconds: u32) -> (Daemon, String) {
    let mut command = program(home);
    command
        .args(["--input", "-", "--http", "127.0.0.1:0", "--events-per-hour", "60"])
        .args(["--calibrate-seconds", &calibrate_seconds.to_string()]);
    let daemon = Daemon::start(command.stdin(Stdio::piped()));
    let at = address(&daemon);
    (daemon, at)
}

/// Where the daemon says that its page is: `127.0.0.1:PORT`.
pub fn address(daemon: &Daemon) -> String {
    let line = daemon.await_log(&["the page is at http://"], Duration::from_secs(60));
    let (_, rest) = line.split_once("http://").unwrap();
    rest.trim().trim_end_matches(['/', '"', '}']).split('/').next().unwrap().to_owned()
}

/// Sends `request` (a path, then headers without the host where it is told none), and reads to the end.
pub fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(address, method, path, headers, "")
}

/// POST of a JSON document.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let length = body.len().to_string();
    let own = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
    send(address, "POST", path, &[headers, &own].concat(), body)
}

fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = format!("{method} {path} HTTP/1.0\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {address}\r\n");
    }
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    // a server that has read enough may have closed already
    let _ = stream.write_all((text + "\r\n" + body).as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// GET without more.
pub fn get(address: &str, path: &str) -> Answer {
    ask(address, "GET", path, &[])
}
