//! P17: by default no sound leaves the process: not to the broker, not over HTTP, not to a file, not to its output. The sound of an event
//! leaves over HTTP only where clips are kept and an operator token is set, to who shows it:
//! `tests/program/clips_are_for_operators.rs`.
//!
//! The sound is noise, so that any eight samples of it are a fingerprint. Everything that the program writes is searched
//! for them in every form that a sample has here.
#![cfg(feature = "mqtt")]

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::broker::{Broker, await_for};
use crate::support::daemon::{Daemon, program};

const LONG: Duration = Duration::from_secs(60);
const PRINT: usize = 12;

/// Fingerprints of a sound.
struct Prints(HashSet<[u8; PRINT]>);

impl Prints {
    fn of(samples: &[i16]) -> Self {
        let floats = |x: &i16| f32::from(*x) / 32_768.0;
        let forms: [Vec<u8>; 4] = [
            samples.iter().flat_map(|x| x.to_le_bytes()).collect(),
            samples.iter().flat_map(|x| x.to_be_bytes()).collect(),
            samples.iter().flat_map(|x| floats(x).to_le_bytes()).collect(),
            samples.iter().flat_map(|x| floats(x).to_be_bytes()).collect(),
        ];
        let mut prints = HashSet::new();
        for bytes in &forms {
            prints.extend(bytes.windows(PRINT).step_by(2).map(|w| <[u8; PRINT]>::try_from(w).unwrap()));
            // in text, at any of the three places at which its groups may begin
            for from in 0..3 {
                let text = base64(&bytes[from..bytes.len().min(60_000)]);
                prints.extend(text.windows(PRINT).step_by(4).map(|w| <[u8; PRINT]>::try_from(w).unwrap()));
            }
        }
        // what has few different bytes is no fingerprint: zeros are everywhere
        prints.retain(|print| print.iter().collect::<HashSet<_>>().len() >= 6);
        Self(prints)
    }

    fn found_in(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(PRINT).position(|w| self.0.contains(w))
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .as_chunks::<3>()
        .0
        .iter()
        .flat_map(|&[a, b, c]| {
            let group = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
            [18, 12, 6, 0].map(|shift| DIGITS[(group >> shift & 63) as usize])
        })
        .collect()
}

/// A door to the broker that writes down what passes.
fn tapped(target: SocketAddr) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let record = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&record);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(target).unwrap();
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                let record = Arc::clone(&all);
                thread::spawn(move || {
                    let mut buffer = [0; 65_536];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        record.lock().unwrap().extend(&buffer[..count]);
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (url, record)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// All that the page can ask for, with the event of this id; of the live messages some seconds.
#[cfg(feature = "http")]
fn pages(at: &str, id: &str) -> Vec<u8> {
    let all = ["overview", "events", "events/export", "events/summary", "labels", "labels/export"]
        .map(str::to_owned)
        .into_iter()
        .chain(["history", "spectrogram", "calibration", "live"].map(|path| format!("{path}?stream=stdin")))
        .chain(["", ".png", ".wav", "/clip", "/similar"].map(|end| format!("events/{id}{end}")));
    let mut bytes = Vec::new();
    for path in all {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: {at}\r\n\r\n").unwrap();
        // the live messages have no end
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// A room of noise with a rattle of louder noise every 4 s after the calibration.
fn noise(seconds: u32) -> Vec<i16> {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    (0..seconds * 16_000)
        .map(|i| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let t = f64::from(i) / 16_000.0;
            let loud = t > 14.0 && (t % 4.0) < 0.5 && (t * 30.0) % 1.0 < 0.4;
            (x >> 48) as i16 / if loud { 2 } else { 40 }
        })
        .collect()
}

#[test]
fn no_sound_in_any_published_data() {
    let samples = noise(34);
    let prints = Prints::of(&samples);
    let broker = Broker::start();
    let (url, wire) = tapped(broker.address());
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--broker", &url, "--calibrate-seconds", "12", "--events-per-hour", "60"])
        .args(if cfg!(feature = "http") { vec!["--http", "127.0.0.1:0"] } else { vec![] })
        .env("CPC_STREAM_PUBLISH__HEALTH_S", "1")
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let events = broker.subscribe("cpc-stream/+/+/event");
    let mut pipe = daemon.stdin();
    let sound: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    pipe.write_all(&sound).unwrap();
    let event = events.next("/event", LONG).payload;
    let sockets = fs::read_dir(format!("/proc/{}/fd", daemon.id()))
        .unwrap()
        .flatten()
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
        .count();
    #[cfg(feature = "http")]
    {
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        let shown = pages(&crate::support::http::address(&daemon), event["id"].as_str().unwrap());
        assert!(shown.len() > 10_000, "{} bytes", shown.len());
        assert_eq!(prints.found_in(&shown), None, "sound over HTTP");
    }
    drop((event, pipe));
    let outcome = daemon.finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    await_for("the last of the wire", LONG, || (!wire.lock().unwrap().is_empty()).then_some(()));

    let wire = wire.lock().unwrap().clone();
    assert_eq!(prints.found_in(&wire), None, "sound on the wire");
    let (mut bytes, mut count) = (0, 0);
    for file in files(home.path()) {
        let content = fs::read(&file).unwrap();
        assert_eq!(prints.found_in(&content), None, "sound in {}", file.display());
        (bytes, count) = (bytes + content.len(), count + 1);
    }
    for said in [&outcome.stdout, &outcome.stderr] {
        assert_eq!(prints.found_in(said.as_bytes()), None, "sound in the output");
    }
    assert!(sockets <= 3, "{sockets} sockets: the broker's, the page's, and one for signals at most");
    println!(
        "no fingerprint of {} s of sound in {} bytes to and from the broker, {bytes} bytes in {count} files and {} bytes of output; {sockets} sockets",
        samples.len() / 16_000,
        wire.len(),
        outcome.stdout.len() + outcome.stderr.len()
    );
}

#[test]
fn sound_that_leaves_is_found_in_every_form() {
    let samples = noise(1);
    let prints = Prints::of(&samples);
    let some = &samples[3001..3060];
    let integers: Vec<u8> = some.iter().flat_map(|x| x.to_le_bytes()).collect();
    let floats: Vec<u8> = some.iter().flat_map(|x| (f32::from(*x) / 32_768.0).to_le_bytes()).collect();
    for leak in [integers.clone(), floats, base64(&integers), base64(&integers[1..])] {
        let document = [b"{\"clip\":\"".as_slice(), &leak, b"\"}"].concat();
        assert!(prints.found_in(&document).is_some());
    }
    assert_eq!(prints.found_in(&[0; 4096]), None);
    assert_eq!(prints.found_in(include_bytes!("../../config/default.toml")), None);
}
