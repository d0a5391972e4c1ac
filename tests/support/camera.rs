//! A camera without hardware: a server of RTSP with pictures that never come and, but under `/mute`, G.711 sound.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A-law samples of an RTP packet: 20 ms at 8 kHz.
const PACKET: usize = 160;

/// The camera. Its threads end with their connections.
pub struct Camera {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    frozen: AtomicBool,
    off: AtomicBool,
    links: Mutex<Vec<TcpStream>>,
}

impl Camera {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared: Arc<Shared> = Arc::default();
        let mine = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if mine.off.load(SeqCst) {
                    continue;
                }
                mine.links.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&mine);
                thread::spawn(move || drop(answer(&stream, &shared)));
            }
        });
        Self { port, shared }
    }

    /// Whether it keeps its connections and says nothing.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.store(frozen, SeqCst);
    }

    /// Whether it closes all connections and takes none.
    pub fn switch_off(&self, off: bool) {
        self.shared.off.store(off, SeqCst);
        if off {
            for link in self.shared.links.lock().unwrap().drain(..) {
                let _ = link.shutdown(Shutdown::Both);
            }
        }
    }
}

fn answer(stream: &TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut way = None;
    while let Some(request) = lines.next() {
        let request = request?;
        let (mut sequence, mut transport) = (String::new(), String::new());
        for line in lines.by_ref() {
            let line = line?;
            match line.split_once(": ") {
                Some(("CSeq", value)) => sequence = value.to_owned(),
                Some(("Transport", value)) => transport = value.to_owned(),
                Some(_) => {}
                None => break,
            }
        }
        let head = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n");
        let mut words = request.split(' ');
        let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = match method {
            "OPTIONS" => "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n".to_owned(),
            "DESCRIBE" => {
                let mut sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                               a=rtpmap:96 H264/90000\r\na=control:v\r\n"
                    .to_owned();
                if !url.contains("mute") {
                    sdp.push_str("m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000/1\r\na=control:a\r\n");
                }
                format!(
                    "Content-Base: {url}/\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                    sdp.len()
                )
            }
            "SETUP" => {
                if url.ends_with("/a") {
                    way = Some(transport.clone());
                }
                format!("Transport: {transport};server_port=40000-40001\r\n\r\n")
            }
            _ => "\r\n".to_owned(),
        };
        (&*stream).write_all(format!("{head}{rest}").as_bytes())?;
        if method == "PLAY"
            && let Some(way) = way.take()
        {
            let (stream, shared) = (stream.try_clone()?, Arc::clone(shared));
            thread::spawn(move || drop(play(stream, &way, &shared)));
        }
    }
    Ok(())
}

/// Sends a square wave as RTP, as time goes.
fn play(mut stream: TcpStream, way: &str, shared: &Shared) -> std::io::Result<()> {
    let number = |key: &str| -> Option<u16> {
        let value = way.split(key).nth(1)?;
        value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let begun = Instant::now();
    for count in 0u32.. {
        // by the clock: naps alone would make it slow
        let due = begun + Duration::from_millis(20) * count;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if shared.frozen.load(SeqCst) {
            continue;
        }
        let mut packet = vec![0x80, 8];
        packet.extend((count as u16).to_be_bytes());
        packet.extend((count * PACKET as u32).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.extend((0..PACKET).map(|i| if i % 40 < 20 { 0xa5 } else { 0x25 }));
        match (number("interleaved="), number("client_port=")) {
            (Some(channel), _) => {
                let head = [b'$', channel as u8, (packet.len() >> 8) as u8, packet.len() as u8];
                stream.write_all(&[&head, packet.as_slice()].concat())?;
            }
            (None, Some(port)) => drop(socket.send_to(&packet, ("127.0.0.1", port))?),
            (None, None) => return Ok(()),
        }
    }
    Ok(())
}
