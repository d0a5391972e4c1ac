//! Sound from a network arrives whole, and what is away comes back: PCM that we dial for, that others send us by TCP and
//! UDP, and a web stream by way of ffmpeg where that is installed.

use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::wav::{self, Form, Oddity};
use cpc_stream::internal::capture::{
    CaptureConfig, Notice, OpenSource, PcmForm, PcmFormat, SourceChange, SourceConfig, open,
};
use cpc_stream::internal::ring::Read;
use crossbeam_channel::{Receiver, unbounded};

pub(super) const RATE: u32 = 16_000;
/// Samples of 20 ms.
pub(super) const PIECE: usize = 320;

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(super) fn start(url: &str, pcm: PcmForm) -> (OpenSource, Receiver<Notice>) {
    let (sender, notices) = unbounded();
    let source = SourceConfig { pcm: Some(pcm), ..SourceConfig::from_url(url) };
    (open(&source, &CaptureConfig::default(), sender).unwrap(), notices)
}

/// Piece number `n` of a ramp.
pub(super) fn piece(n: usize) -> Vec<u8> {
    (n * PIECE..(n + 1) * PIECE).flat_map(|i| ((i % 30_000) as i16).to_le_bytes()).collect()
}

/// What a source has given so far: samples as integers, and lost ones.
#[derive(Default)]
pub(super) struct ReceivedSound {
    pub(super) samples: Vec<i16>,
    pub(super) lost: u64,
}

impl ReceivedSound {
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

    pub(super) fn until(&mut self, source: &mut OpenSource, what: &str, enough: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !enough(self) {
            assert!(Instant::now() < limit, "{what}: {} samples, {} lost", self.samples.len(), self.lost);
            thread::sleep(Duration::from_millis(5));
            self.take(source);
        }
    }

    pub(super) fn is_ramp_from(&self, start: usize) -> bool {
        let expected = (start..).map(|i| (i % 30_000) as i16);
        self.samples.iter().zip(expected).all(|(a, b)| *a == b)
    }
}

fn await_notice(notices: &Receiver<Notice>, what: &str, is: impl Fn(&SourceChange) -> bool) -> SourceChange {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let notice = notices.recv_deadline(limit).unwrap_or_else(|_| panic!("no notice of {what}"));
        if is(&notice.change) {
            return notice.change;
        }
    }
}

pub(super) fn online(notices: &Receiver<Notice>) {
    await_notice(notices, "sound", |change| matches!(change, SourceChange::Online { .. }));
}

pub(super) fn offline(notices: &Receiver<Notice>) -> String {
    match await_notice(notices, "silence", |change| matches!(change, SourceChange::Offline { .. })) {
        SourceChange::Offline { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_outgoing_tcp_connection_is_retried() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp://127.0.0.1:{port}"), PcmForm::default());
    assert!(offline(&notices).contains("no connection"));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut heard = ReceivedSound::default();
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
    let second = ReceivedSound { samples: heard.samples.split_off(10 * PIECE), lost: 0 };
    assert!(heard.is_ramp_from(0) && second.is_ramp_from(0));
    // it was away for a second, and dials again after one
    assert!((u64::from(RATE) / 2..u64::from(RATE) * 8).contains(&heard.lost), "{}", heard.lost);
}

#[test]
fn a_tcp_client_may_reconnect() {
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
    let mut heard = ReceivedSound::default();
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
    let mut heard = ReceivedSound::default();
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
    // both channels alike; a datagram that ends in the middle of a frame is refused, whole
    let mut refused = 0;
    for n in 0..20 {
        let both: Vec<u8> = piece(n).chunks(2).flat_map(|sample| [sample, sample].concat()).collect();
        socket.send_to(&both, to).unwrap();
        for cut in [1, 2, 3, 1278] {
            socket.send_to(&both[..cut], to).unwrap();
            refused += cut as u64;
        }
        socket.send_to(&[], to).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    heard.until(&mut source, "datagrams", |heard| heard.samples.len() >= 20 * PIECE);
    let at = heard.samples.iter().position(|&x| x == 1).unwrap();
    heard.samples.drain(..at);
    assert!(heard.is_ramp_from(1));
    let reason = offline(&notices);
    assert!(reason.contains("no sound") && reason.contains("whole frames of 4 bytes"), "{reason}");
    assert_eq!(source.counters.bytes_refused(), refused);
}

#[test]
fn datagrams_that_are_no_frames_are_no_sound() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let form = PcmForm { channels: 6, format: PcmFormat::S16le, rate: RATE };
    let (mut source, notices) = start(&format!("udp://127.0.0.1:{port}"), form);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stop = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < stop {
        // as ffmpeg cuts them
        let _ = socket.send_to(&[7; 1472], ("127.0.0.1", port));
        thread::sleep(Duration::from_millis(20));
    }
    let reason = offline(&notices);
    assert!(reason.contains("1472 bytes") && reason.contains("pkt_size=1464"), "{reason}");
    let mut heard = ReceivedSound::default();
    heard.take(&mut source);
    assert!(heard.samples.is_empty() && source.counters.bytes_refused() > 10_000);
}

/// Connects as soon as somebody listens.
pub(super) fn connect(port: u16) -> TcpStream {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(_) if Instant::now() < limit => thread::sleep(Duration::from_millis(20)),
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn a_silent_client_does_not_block_others() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp-listen://127.0.0.1:{port}"), PcmForm::default());
    let silent = [connect(port), connect(port)];
    let mut heard = ReceivedSound::default();
    let mut first = connect(port);
    (0..5).for_each(|n| first.write_all(&piece(n)).unwrap());
    // a byte of a sample that never comes
    first.write_all(&[9]).unwrap();
    online(&notices);
    heard.until(&mut source, "the first", |heard| heard.samples.len() == 5 * PIECE);
    // it lost its power: nothing comes, and nobody hangs up; after a while it is back
    thread::sleep(Duration::from_millis(1200));
    let mut second = connect(port);
    for n in 5..10 {
        // split anywhere
        let bytes = piece(n);
        let (a, b) = bytes.split_at(1 + 37 * (n - 5));
        second.write_all(a).unwrap();
        thread::sleep(Duration::from_millis(5));
        second.write_all(b).unwrap();
    }
    heard.until(&mut source, "the second", |heard| heard.samples.len() == 10 * PIECE);
    assert!(heard.is_ramp_from(0), "half a sample of one client became sound of another");
    assert!(heard.lost > u64::from(RATE), "{} lost", heard.lost);
    assert_eq!(source.counters.bytes_refused(), 1);
    drop((silent, first));
}

#[test]
fn a_wrong_rate_is_reported() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp-listen://127.0.0.1:{port}"), PcmForm::default());
    let mut stream = connect(port);
    let mut heard = ReceivedSound::default();
    let begun = Instant::now();
    let mut sent = 0;
    // 24 kHz, where 16 are configured
    let found = loop {
        let due = (begun.elapsed().as_secs_f64() * 24_000.0 / PIECE as f64) as usize;
        while sent < due {
            stream.write_all(&piece(sent)).unwrap();
            sent += 1;
        }
        heard.take(&mut source);
        let off = notices.try_iter().find_map(|notice| match notice.change {
            SourceChange::RateOff { nominal, measured } => Some((nominal, measured)),
            _ => None,
        });
        if let Some(off) = off {
            break off;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody noticed");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(found.0, RATE);
    assert!((23_500..24_500).contains(&found.1), "{found:?}");
    assert_eq!(source.counters.wrong_rate(), Some((found.1, RATE)));
}

/// A server of one answer after another: what `answer` writes once somebody asked.
fn serve(
    length: Option<usize>,
    answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
            let head = format!("HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n{length}\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = answer(&mut stream);
        }
    });
    port
}

fn has_ffmpeg() -> bool {
    let has = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !has {
        eprintln!("no ffmpeg here: web streams were not tried");
    }
    has
}

/// A tone of so many seconds as a WAV file.
fn tone(seconds: u32) -> Vec<u8> {
    let samples: Vec<f32> = (0..seconds * RATE).map(|i| 0.25 * (i as f32 * 0.1).sin()).collect();
    wav::write(Oddity::Plain, Form::S16, 1, &samples)
}

#[test]
fn a_web_stream_whose_first_sound_is_late_and_comes_in_bursts() {
    if !has_ffmpeg() {
        return;
    }
    let port = serve(None, |stream| {
        thread::sleep(Duration::from_millis(3500));
        // a header as of a live stream, then 2 s at once every 2 s
        let mut bytes = tone(20);
        bytes[40..44].fill(0xff);
        stream.write_all(&bytes[..44])?;
        for burst in bytes[44..].chunks(2 * 2 * RATE as usize) {
            stream.write_all(burst)?;
            thread::sleep(Duration::from_secs(2));
        }
        Ok(())
    });
    let (mut source, notices) = start(&format!("http://127.0.0.1:{port}/live"), PcmForm::default());
    let mut heard = ReceivedSound::default();
    online(&notices);
    let since = Instant::now();
    heard.until(&mut source, "bursts", |heard| heard.samples.len() >= 5 * RATE as usize);
    assert!(since.elapsed() > Duration::from_secs(4), "{:?}: it is given in real time", since.elapsed());
    let more: Vec<SourceChange> = notices.try_iter().map(|notice| notice.change).collect();
    assert!(more.is_empty() && heard.lost == 0, "{more:?}, {} lost", heard.lost);
}

#[test]
fn ffmpeg_says_what_is_wrong() {
    if !has_ffmpeg() {
        return;
    }
    let port = free_port();
    let (_source, notices) = start(&format!("http://me:secret@127.0.0.1:{port}/live"), PcmForm::default());
    let reason = offline(&notices);
    assert!(reason.contains("refused") && !reason.contains("secret"), "{reason}");
}

#[test]
fn a_web_file_is_played_once_in_real_time() {
    if !has_ffmpeg() {
        return;
    }
    let whole = 2 * RATE as usize;
    // a server that does not tell the length is asked twice: only then is it known for a file
    for (length, times) in [(Some(tone(2).len()), 1), (None, 2)] {
        let port = serve(length, |stream| stream.write_all(&tone(2)));
        let (mut source, notices) = start(&format!("http://127.0.0.1:{port}/file.wav"), PcmForm::default());
        let mut heard = ReceivedSound::default();
        online(&notices);
        let since = Instant::now();
        heard.until(&mut source, "the file", |heard| heard.samples.len() >= times * whole);
        assert!(since.elapsed() > Duration::from_millis(1500), "{:?}", since.elapsed());
        while !offline(&notices).contains("is over") {}
        thread::sleep(Duration::from_millis(2500));
        heard.take(&mut source);
        assert_eq!(heard.samples.len(), times * whole);
        assert!(source.handle.stop());
    }
}
