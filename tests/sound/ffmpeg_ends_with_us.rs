//! An ffmpeg that this program started ends with it, also where it is killed, and lists of processes show no password.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::daemon::{Daemon, program};

const LIMIT: Duration = Duration::from_secs(20);

/// Command lines of the processes whose parent is `parent`, or was.
fn command_lines(of: impl Fn(u32, &str) -> bool) -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let line = String::from_utf8_lossy(&fs::read(format!("/proc/{id}/cmdline")).ok()?).replace('\0', " ");
        of(id, &line).then_some((id, line))
    })
    .collect()
}

fn parent(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[test]
fn a_killed_daemon_leaves_no_ffmpeg_and_no_password_is_shown() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("no ffmpeg here: not tried");
        return;
    }
    // a camera that takes the request and says nothing, for ever
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, requests) = crossbeam_channel::unbounded();
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let _ = asked.send(String::from_utf8_lossy(&request[..count]).into_owned());
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n");
            held.push(stream);
        }
    });
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://me:hunter2@127.0.0.1:{port}/live");
    let config = home.path().join("c.toml");
    fs::write(&config, format!("[[source]]\nid = \"cam\"\nurl = \"{url}\"\n")).unwrap();
    let mut command = program(home.path());
    command.arg("--config").arg(&config);
    let daemon = Daemon::start(&mut command);
    let request = requests.recv_timeout(LIMIT).unwrap();
    assert!(request.starts_with("GET /live"), "{request}");
    let us = daemon.id();
    let children = command_lines(|id, line| parent(id) == Some(us) && line.starts_with("ffmpeg"));
    assert_eq!(children.len(), 1, "{children:?}");
    let shown = command_lines(|_, line| line.contains("hunter2"));
    assert!(shown.is_empty(), "{shown:?}");
    drop(daemon.kill());
    let child = children[0].0;
    let limit = Instant::now() + LIMIT;
    let lives =
        || fs::read_to_string(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.starts_with("ffmpeg"));
    while lives() {
        assert!(Instant::now() < limit, "ffmpeg {child} lives on");
        thread::sleep(Duration::from_millis(20));
    }
}
