//! Cameras: one whose pictures are slow is online at once, since audio alone is asked for; one without sound is told as
//! such; the sound comes by TCP or UDP.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use cpc_stream::capture::{CaptureConfig, Change, RtspTransport, SourceConfig, open};
use cpc_stream::ring::Read;
use crossbeam_channel::unbounded;

const LIMIT: Duration = Duration::from_secs(20);
/// A-law samples of an RTP packet: 20 ms at 8 kHz.
const PACKET: usize = 160;

/// A server of RTSP with pictures that never come and, but under `/mute`, G.711 sound. Gives its port.
fn camera() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || drop(answer(&stream)));
        }
    });
    port
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
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
            let stream = stream.try_clone()?;
            thread::spawn(move || drop(play(stream, &way)));
        }
    }
    Ok(())
}

/// Sends a square wave as RTP, as time goes.
fn play(mut stream: TcpStream, way: &str) -> std::io::Result<()> {
    let number = |key: &str| -> Option<u16> {
        let value = way.split(key).nth(1)?;
        value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for count in 0u16.. {
        let mut packet = vec![0x80, 8];
        packet.extend(count.to_be_bytes());
        packet.extend((u32::from(count) * PACKET as u32).to_be_bytes());
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
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_camera_is_online_at_once_and_one_without_sound_says_so() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("no ffmpeg here: cameras were not tried");
        return;
    }
    let port = camera();
    for (url, transport) in [
        (format!("rtsp://127.0.0.1:{port}/cam"), RtspTransport::Tcp),
        (format!("rtsp://127.0.0.1:{port}/cam"), RtspTransport::Udp),
        (format!("rtsp://me:secret@127.0.0.1:{port}/cam"), RtspTransport::Tcp),
    ] {
        let (sender, notices) = unbounded();
        let source = SourceConfig { rtsp_transport: Some(transport), ..SourceConfig::from_url(&url) };
        let mut source = open(&source, &CaptureConfig::default(), sender).unwrap();
        let (begun, mut samples, mut out) = (Instant::now(), 0, [0.0; 1000]);
        while samples < 16_000 {
            assert!(begun.elapsed() < LIMIT, "{url} {transport:?}: {samples} samples");
            match source.feeds[0].reader.read(&mut out) {
                Read::Samples(count) => samples += count,
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
        let changes: Vec<Change> = notices.try_iter().map(|notice| notice.change).collect();
        assert!(matches!(&changes[..], [Change::Online { .. }]), "{url} {transport:?}: {changes:?}");
    }
    let (sender, notices) = unbounded();
    let _source = open(
        &SourceConfig::from_url(format!("rtsp://127.0.0.1:{port}/mute")),
        &CaptureConfig::default(),
        sender,
    )
    .unwrap();
    let Change::Offline { reason } = notices.recv_timeout(LIMIT).unwrap().change else {
        panic!("it has no sound")
    };
    assert!(reason.contains("no sound in it"), "{reason}");
}
