//! Sound from a network arrives whole, and what is away comes back: PCM that we dial for, that others send us by TCP and
//! UDP, and a web stream by way of ffmpeg where that is installed.

use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use cpc_stream::capture::{
    CaptureConfig, Change, Notice, OpenSource, PcmForm, PcmFormat, SourceConfig, open,
};
use cpc_stream::ring::Read;
use crossbeam_channel::{Receiver, unbounded};

const RATE: u32 = 16_000;
/// Samples of 20 ms.
const PIECE: usize = 320;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(url: &str, pcm: PcmForm) -> (OpenSource, Receiver<Notice>) {
    let (sender, notices) = unbounded();
    let source = SourceConfig { pcm: Some(pcm), ..SourceConfig::from_url(url) };
    (open(&source, &CaptureConfig::default(), sender).unwrap(), notices)
}

/// Piece number `n` of a ramp.
fn piece(n: usize) -> Vec<u8> {
    (n * PIECE..(n + 1) * PIECE).flat_map(|i| ((i % 30_000) as i16).to_le_bytes()).collect()
}

/// What a source has given so far: samples as integers, and lost ones.
#[derive(Default)]
struct Heard {
    samples: Vec<i16>,
    lost: u64,
}

impl Heard {
    fn take(&mut self, source: &mut OpenSource) {
        let mut out = [0.0; 500];
        loop {
            match source.feeds[0].reader.read(&mut out) {
                Read::Samples(n) => self.samples.extend(out[..n].iter().map(|x| (x * 32_768.0) as i16)),
                Read::Gap { lost } => self.lost += lost,
                Read::Rate(rate) => assert_eq!(rate, RATE),
                Read::Empty => return,
                Read::Closed => panic!("a live source has no end"),
            }
        }
    }

    fn until(&mut self, source: &mut OpenSource, what: &str, enough: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !enough(self) {
            assert!(Instant::now() < limit, "{what}: {} samples, {} lost", self.samples.len(), self.lost);
            thread::sleep(Duration::from_millis(5));
            self.take(source);
        }
    }

    fn is_ramp_from(&self, start: usize) -> bool {
        let expected = (start..).map(|i| (i % 30_000) as i16);
        self.samples.iter().zip(expected).all(|(a, b)| *a == b)
    }
}

fn await_notice(notices: &Receiver<Notice>, what: &str, is: impl Fn(&Change) -> bool) -> Change {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let notice = notices.recv_deadline(limit).unwrap_or_else(|_| panic!("no notice of {what}"));
        if is(&notice.change) {
            return notice.change;
        }
    }
}

fn online(notices: &Receiver<Notice>) {
    await_notice(notices, "sound", |change| matches!(change, Change::Online { .. }));
}

fn offline(notices: &Receiver<Notice>) -> String {
    match await_notice(notices, "silence", |change| matches!(change, Change::Offline { .. })) {
        Change::Offline { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_we_dial_for_is_dialled_again() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp://127.0.0.1:{port}"), PcmForm::default());
    assert!(offline(&notices).contains("no connection"));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut heard = Heard::default();
    for round in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        // cut in the middle of a sample
        let bytes: Vec<u8> = (0..10).flat_map(piece).collect();
        let (first, second) = bytes.split_at(1001);
        stream.write_all(first).unwrap();
        thread::sleep(Duration::from_millis(30));
        stream.write_all(second).unwrap();
        online(&notices);
        heard.until(&mut source, "a round", |heard| heard.samples.len() == (round + 1) * 10 * PIECE);
        drop(stream);
        assert!(offline(&notices).contains("hung up"));
    }
    let second = Heard { samples: heard.samples.split_off(10 * PIECE), lost: 0 };
    assert!(heard.is_ramp_from(0) && second.is_ramp_from(0));
    // it was away for a second, and dials again after one
    assert!((u64::from(RATE) / 2..u64::from(RATE) * 8).contains(&heard.lost), "{}", heard.lost);
}

#[test]
fn who_dials_us_may_hang_up_and_come_back() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp-listen://127.0.0.1:{port}"), PcmForm::default());
    let dial = || {
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => return stream,
                Err(_) if Instant::now() < limit => thread::sleep(Duration::from_millis(20)),
                Err(e) => panic!("{e}"),
            }
        }
    };
    let mut heard = Heard::default();
    let mut stream = dial();
    (0..5).for_each(|n| stream.write_all(&piece(n)).unwrap());
    online(&notices);
    heard.until(&mut source, "the first", |heard| heard.samples.len() == 5 * PIECE);
    drop(stream);
    assert!(offline(&notices).contains("no sound"));
    let mut stream = dial();
    (5..10).for_each(|n| stream.write_all(&piece(n)).unwrap());
    online(&notices);
    heard.until(&mut source, "the second", |heard| heard.samples.len() == 10 * PIECE);
    assert!(heard.is_ramp_from(0));
    assert!(heard.lost > u64::from(RATE), "{}", heard.lost);
}

#[test]
fn datagrams_are_whole_frames() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let form = PcmForm { channels: 2, format: PcmFormat::S16le, rate: RATE };
    let (mut source, notices) = start(&format!("udp://127.0.0.1:{port}"), form);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = ("127.0.0.1", port);
    let mut heard = Heard::default();
    let limit = Instant::now() + Duration::from_secs(10);
    // nobody may listen yet: the first datagrams may go nowhere
    while heard.samples.is_empty() {
        assert!(Instant::now() < limit);
        let _ = socket.send_to(&[0; 400], to);
        thread::sleep(Duration::from_millis(20));
        heard.take(&mut source);
    }
    online(&notices);
    heard.samples.clear();
    // both channels alike, and a byte too many in each: the next begins anew all the same
    for n in 0..20 {
        let both: Vec<u8> =
            piece(n).chunks(2).flat_map(|sample| [sample, sample].concat()).chain([9]).collect();
        socket.send_to(&both, to).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    heard.until(&mut source, "datagrams", |heard| heard.samples.len() >= 20 * PIECE);
    let at = heard.samples.iter().position(|&x| x == 1).unwrap();
    heard.samples.drain(..at);
    assert!(heard.is_ramp_from(1));
    assert!(offline(&notices).contains("no sound"));
}

#[test]
fn a_web_stream_by_ffmpeg() {
    if std::process::Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("no ffmpeg here: web streams were not tried");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = thread::spawn(move || {
        let samples: Vec<i16> = (0..4 * RATE).map(|i| (8000.0 * (i as f32 * 0.1).sin()) as i16).collect();
        let mut wav = std::io::Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
        samples.iter().for_each(|&x| writer.write_sample(x).unwrap());
        writer.finalize().unwrap();
        for stream in listener.incoming().take(1) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n");
            let _ = stream.write_all(wav.get_ref());
        }
    });
    let (mut source, notices) = start(&format!("http://me:secret@127.0.0.1:{port}/live"), PcmForm::default());
    let mut heard = Heard::default();
    online(&notices);
    heard.until(&mut source, "ffmpeg", |heard| heard.samples.len() >= 3 * RATE as usize);
    assert!(heard.samples.iter().any(|&x| x > 7000));
    serve.join().unwrap();
    let reason = offline(&notices);
    assert!(!reason.contains("secret"), "{reason}");
    assert!(source.handle.stop());
}
