//! Only what is meant is written, whatever fails is told and no exit with 0, and nobody is kept waiting for what never comes.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, Outcome, program, run};
use crate::support::sound::write_wav;

const LIMIT: Duration = Duration::from_secs(60);

/// Seconds of noise; with a tone in its last `tone` seconds.
fn noise(seconds: usize, tone: usize) -> Vec<i16> {
    let count = 16_000 * seconds as u32;
    (0..count)
        .map(|i| {
            let white = (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048;
            let loud = i >= count - 16_000 * tone as u32;
            white / 4 + if loud { (12_000.0 * (f64::from(i) * 0.59).sin()) as i16 } else { 0 }
        })
        .collect()
}

fn score(home: &Path, arguments: &[&str]) -> Outcome {
    run(home, &[&["score"], arguments, &["--calibrate-seconds", "10"]].concat(), LIMIT)
}

#[test]
fn recordings_are_told_apart_and_what_is_none_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("d");
    std::fs::create_dir_all(folder.join("empty")).unwrap();
    // names that are no UTF-8 and look alike once shown, of one length and time
    let (eventful, quiet) =
        (folder.join(OsStr::from_bytes(b"V\xf6gel.wav")), folder.join(OsStr::from_bytes(b"V\xe4gel.wav")));
    let mut scene = noise(14, 1);
    scene.extend(noise(3, 0));
    write_wav(&eventful, &scene, 16_000);
    write_wav(&quiet, &noise(17, 0), 16_000);
    for path in [&eventful, &quiet] {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(folder.join("pipe.wav")).status().unwrap().success());
    std::fs::write(folder.join("notes.txt"), "of the recorder").unwrap();
    let outcome = score(home.path(), &["d", "--out", "e.jsonl"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let passed = "passed over: 1 file in folders not named as audio (d/notes.txt)";
    assert!(outcome.stderr.contains(passed), "{outcome:?}");
    assert!(outcome.stdout.contains("2 files, 1 left out"), "{outcome:?}");
    assert!(outcome.stderr.contains("pipe.wav is no regular file"), "{outcome:?}");
    let events = std::fs::read_to_string(home.path().join("e.jsonl")).unwrap();
    assert!(
        events.lines().count() >= 1 && events.lines().all(|line| line.contains(r"V\\xf6gel.wav")),
        "{events}"
    );

    let outcome = run(home.path(), &["score", "d/pipe.wav", "--out", "f"], LIMIT);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("is no regular file"), "{outcome:?}");
    let outcome = run(home.path(), &["--input", "d/pipe.wav"], LIMIT);
    assert!(outcome.code == Some(3) && outcome.stderr.contains("is no regular file"), "{outcome:?}");
}

/// As `score <(…)` of a shell does.
#[test]
fn a_pipe_that_is_open_already_is_scored() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.wav");
    let mut scene = noise(14, 1);
    scene.extend(noise(3, 0));
    write_wav(&path, &scene, 16_000);
    let arguments = ["score", "/dev/stdin", "--calibrate-seconds", "10", "--out", "e.jsonl"];
    let mut daemon = Daemon::start(program(home.path()).args(arguments).stdin(Stdio::piped()));
    daemon.stdin().write_all(&std::fs::read(&path).unwrap()).unwrap();
    let outcome = daemon.finish(LIMIT);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("1 file, 0 left out"), "{outcome:?}");
    let events = std::fs::read_to_string(home.path().join("e.jsonl")).unwrap();
    assert!(!events.is_empty(), "{outcome:?}");
}

/// With nothing in it yet, and in the middle of a recording.
#[test]
fn a_pipe_that_gives_nothing_holds_no_stop_up() {
    let sound = tempfile::tempdir().unwrap();
    write_wav(&sound.path().join("a.wav"), &noise(30, 0), 16_000);
    let whole = std::fs::read(sound.path().join("a.wav")).unwrap();
    for bytes in [&[][..], &whole[..20], &whole[..16_000 * 2 * 20]] {
        let home = tempfile::tempdir().unwrap();
        let arguments = ["score", "/dev/stdin", "--calibrate-seconds", "10", "--out", "e.jsonl"];
        let mut daemon = Daemon::start(program(home.path()).args(arguments).stdin(Stdio::piped()));
        let mut pipe = daemon.stdin();
        pipe.write_all(bytes).unwrap();
        await_for("the run", LIMIT, || home.path().join("e.jsonl.part").exists().then_some(()));
        let (outcome, took) = daemon.stop(LIMIT);
        assert_eq!(outcome.code, Some(3), "{} bytes: {outcome:?}", bytes.len());
        assert!(outcome.stderr.contains("asked to stop"), "{} bytes: {outcome:?}", bytes.len());
        assert!(took < LIMIT / 4 && !home.path().join("e.jsonl").exists(), "{took:?}");
    }
}

/// A pipe as output may have nobody who reads it.
#[test]
fn no_pipe_holds_a_stop_up() {
    let home = tempfile::tempdir().unwrap();
    write_wav(&home.path().join("a.wav"), &noise(14, 0), 16_000);
    assert!(Command::new("mkfifo").arg(home.path().join("fifo")).status().unwrap().success());
    for arguments in [
        &["score", "a.wav", "--calibrate-seconds", "10", "--out", "fifo"][..],
        &["score", "a.wav", "--calibrate-seconds", "10", "--out", "e", "--frames", "fifo"],
    ] {
        let mut daemon = Daemon::start(program(home.path()).args(arguments).stdin(Stdio::piped()));
        let _open = daemon.stdin();
        // long enough to be where it waits; a stop before that ends it as well
        thread::sleep(Duration::from_secs(4));
        let (outcome, took) = daemon.stop(LIMIT);
        assert_eq!(outcome.code, Some(3), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains("asked to stop") && took < LIMIT / 4, "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn an_output_replaces_files_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    write_wav(&at("a.wav"), &noise(14, 0), 16_000);
    std::fs::create_dir(at("real")).unwrap();
    std::fs::write(at("real/e.jsonl"), "old").unwrap();
    symlink("real/e.jsonl", at("link")).unwrap();
    symlink("/dev/null", at("null.csv")).unwrap();
    std::fs::write(at("null.csv.part"), "somebody's").unwrap();
    let outcome = score(home.path(), &["a.wav", "--out", "link", "--frames", "null.csv"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(at("link").is_symlink() && at("null.csv").is_symlink());
    assert_ne!(std::fs::read(at("real/e.jsonl")).unwrap(), b"old");
    assert_eq!(std::fs::read(at("null.csv.part")).unwrap(), b"somebody's");
    let outcome = run(home.path(), &["demo", "--save", "null.csv"], LIMIT);
    assert!(outcome.code == Some(0) && at("null.csv").is_symlink(), "{outcome:?}");
    // what has no room is told
    symlink("/dev/full", at("full")).unwrap();
    for arguments in [
        &["demo", "--save", "full"][..],
        &["score", "a.wav", "--calibrate-seconds", "10", "--out", "e", "--frames", "full"],
    ] {
        let outcome = run(home.path(), arguments, LIMIT);
        assert!(outcome.code == Some(2) && outcome.stderr.contains("No space left"), "{outcome:?}");
    }
    assert!(!at("e").exists(), "nothing counts unless all is written");
}

#[test]
fn events_that_stdout_does_not_take_are_a_failure() {
    let home = tempfile::tempdir().unwrap();
    let mut scene = noise(14, 1);
    scene.extend(noise(3, 0));
    write_wav(&home.path().join("a.wav"), &scene, 16_000);
    let mut command = program(home.path());
    command.args(["--input", "a.wav", "--fast", "--calibrate-seconds", "10", "--events-per-hour", "60"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let outcome = command.stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(70), "{said}");
    assert!(said.contains("No space left") && said.contains("could not be written to stdout"), "{said}");
}

#[test]
fn what_commands_say_and_stdout_does_not_take_is_a_failure() {
    let home = tempfile::tempdir().unwrap();
    for arguments in
        [&["--help"][..], &["--version"], &["config", "show"], &["completions", "bash"], &["devices"]]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let outcome = program(home.path()).args(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&outcome.stderr);
        // a build that captures nothing has no devices to list
        let expected = if said.contains("No space left") { 70 } else { 3 };
        assert_eq!(outcome.status.code(), Some(expected), "{arguments:?}: {said}");
    }
}

/// A daemon that hears raw sound at a port, and the connection to it.
fn hears_a_line(home: &Path, arguments: &[&str]) -> (Daemon, TcpStream) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = program(home);
    command
        .args(["--url", &format!("tcp-listen://127.0.0.1:{port}"), "--state-dir", "state"])
        .args(["--calibrate-seconds", "10", "--events-per-hour", "60", "--http", "127.0.0.1:0"])
        .args(arguments)
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    let line = await_for("the port", LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
    (daemon, line)
}

fn say(line: &mut TcpStream, samples: &[i16]) {
    for piece in samples.chunks(320) {
        let bytes: Vec<u8> = piece.iter().copied().flat_map(i16::to_le_bytes).collect();
        line.write_all(&bytes).unwrap();
        thread::sleep(Duration::from_millis(4));
    }
}

#[test]
fn an_event_ends_with_its_source() {
    let home = tempfile::tempdir().unwrap();
    let (daemon, mut line) = hears_a_line(home.path(), &[]);
    say(&mut line, &noise(11, 0));
    daemon.await_log(&["calibrated on"], LIMIT);
    say(&mut line, &noise(6, 2));
    let phases = |daemon: &Daemon| -> Vec<String> {
        let events = daemon.said();
        let phase = |line: &String| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["phase"].as_str().map(str::to_owned)
        };
        events.iter().filter_map(phase).collect()
    };
    await_for("the event", LIMIT, || phases(&daemon).contains(&"new".to_owned()).then_some(()));
    // the line is lost, and the sound with it
    drop(line);
    await_for("its end", Duration::from_secs(30), || (phases(&daemon).last()? == "end").then_some(()));
    assert!(daemon.log().iter().any(|line| line.contains("the event ends, since no sound has come")));
    let (outcome, _) = daemon.stop(LIMIT);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn a_state_folder_that_is_removed_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let (daemon, _line) = hears_a_line(home.path(), &[]);
    let at = crate::support::http::address(&daemon);
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    daemon.await_log(&["the state folder", "was removed or replaced"], LIMIT);
    let faults = await_for("a fault", LIMIT, || {
        let faults = crate::support::http::get(&at, "/api/v1/overview").json()["faults"].to_string();
        faults.contains("state folder was removed").then_some(faults)
    });
    assert!(!faults.contains("disk refuses"), "{faults}");
    // nobody else begins there
    let second = run(home.path(), &["--url", "tcp://127.0.0.1:9", "--state-dir", "state"], LIMIT);
    assert!(second.code == Some(2) && second.stderr.contains("another process uses"), "{second:?}");
}

/// Connections that ask for nothing, and such that ask and stay.
#[test]
fn probes_are_answered_whoever_holds_connections() {
    let home = tempfile::tempdir().unwrap();
    let (daemon, _line) = hears_a_line(home.path(), &[]);
    let at = crate::support::http::address(&daemon);
    let words: [&[u8]; 4] = [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    for word in words {
        let held: Vec<TcpStream> = (0..150)
            .map(|_| {
                let mut stream = TcpStream::connect(&at).unwrap();
                let _ = stream.write_all(word);
                stream
            })
            .collect();
        for _ in 0..3 {
            let asked = Instant::now();
            assert_eq!(crate::support::http::get(&at, "/healthz").code, 200, "{word:?}");
            // the limit of those who hold connections is 15 s
            assert!(asked.elapsed() < Duration::from_secs(10), "{word:?}");
        }
        drop(held);
    }
    // who looks at the page is not closed for others
    let mut page = TcpStream::connect(&at).unwrap();
    page.write_all(words[3]).unwrap();
    let mut head = [0; 15];
    page.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let _held: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(&at).unwrap()).collect();
    assert_eq!(crate::support::http::get(&at, "/healthz").code, 200);
    page.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut more = [0; 4096];
    for _ in 0..2 {
        assert!(page.read(&mut more).unwrap() > 0, "the page is still served");
    }
}

#[test]
fn wrong_tokens_take_long_and_are_logged() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "0123456789abcdef0123\n").unwrap();
    std::fs::write(home.path().join("c.toml"), "[http]\ntoken_file = \"token\"\n").unwrap();
    let (daemon, _line) = hears_a_line(home.path(), &["--config", "c.toml"]);
    let at = crate::support::http::address(&daemon);
    let guess = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = if token.is_empty() { vec![] } else { vec![("Authorization", bearer.as_str())] };
        crate::support::http::ask(&at, "GET", "/metrics", &headers).code
    };
    let begun = Instant::now();
    assert_eq!((guess("wrong"), guess("0123456789abcdef0124"), guess("")), (401, 401, 401));
    assert!(begun.elapsed() >= Duration::from_secs(2), "a second for each guess");
    daemon.await_log(&["127.0.0.1 shows a wrong token at /metrics"], LIMIT);
    assert_eq!(guess("0123456789abcdef0123"), 200);
}

#[test]
fn a_variable_is_text_where_text_is_expected() {
    let home = tempfile::tempdir().unwrap();
    let check = |variables: &[(&str, &str)]| {
        let mut command = program(home.path());
        command
            .args(["check", "--device", "hw:7"])
            .env("CPC_STREAM_PUBLISH__BROKER", "mqtt://h")
            .envs(variables.iter().copied());
        Daemon::start(command.stdin(Stdio::null())).finish(LIMIT)
    };
    for (variable, value, word) in [
        ("CPC_STREAM_HTTP__LISTEN", "8099", ""),
        ("CPC_STREAM_PUBLISH__USERNAME", "12345", ""),
        ("CPC_STREAM_NODE", "42", "node 42"),
        ("CPC_STREAM_NODE", "true", "node true"),
        ("CPC_STREAM_NODE", "1e5", "node 1e5"),
        ("CPC_STREAM_STATE_DIR", "2026", ""),
        ("CPC_STREAM_DETECT__CALIBRATE_SECONDS", "20", ""),
    ] {
        let outcome = check(&[(variable, value)]);
        assert_eq!(outcome.code, Some(0), "{variable}={value}: {outcome:?}");
        assert!(outcome.stdout.contains(word), "{variable}={value}: {outcome:?}");
    }
    let both = check(&[("CPC_STREAM_NODE", "42"), ("CPC_STREAM_HTTP__LISTEN", "8099")]);
    assert_eq!(both.code, Some(0), "{both:?}");
    let wrong = check(&[("CPC_STREAM_DETECT__CALIBRATE_SECONDS", "soon")]);
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("CPC_STREAM_DETECT__CALIBRATE_SECONDS"),
        "{wrong:?}"
    );
}
