//! An open connection that gives bytes.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::super::config::{PcmForm, PcmFormat};
use super::super::stdin::read_aside;
use super::Address;

/// How long one look for bytes takes at most.
const LOOK: Duration = Duration::from_millis(200);
/// How long a connection may take.
const DIAL: Duration = Duration::from_secs(3);
/// Bytes of one look at most: the largest datagram.
const BUFFER: usize = 65_536;

/// What a look brought.
pub(super) enum Arrival<'a> {
    /// Bytes; `whole` where they begin with a frame whatever came before.
    Sound { bytes: &'a [u8], whole: bool },
    /// None yet.
    Nothing,
    /// The line is gone, and why.
    Lost(String),
}

/// An open line.
pub(super) struct Line {
    form: Form,
    buffer: Vec<u8>,
}

enum Form {
    Stream(TcpStream),
    Listener(TcpListener, Option<TcpStream>),
    Datagrams(UdpSocket),
    Ffmpeg(Ffmpeg),
}

struct Ffmpeg {
    child: Child,
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// The last line that it said on its standard error.
    said: Arc<Mutex<String>>,
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Line {
    /// Opens `address`; the reason where it cannot.
    pub(super) fn open(address: &Address, pcm: PcmForm) -> Result<Self, String> {
        let form = match address {
            Address::Dial(to) => Form::Stream(dial(to).map_err(|e| format!("no connection: {e}"))?),
            Address::Answer(at) => {
                let listener = TcpListener::bind(at.as_str()).and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    Ok(listener)
                });
                Form::Listener(listener.map_err(|e| format!("cannot listen there: {e}"))?, None)
            }
            Address::Datagrams(at) => {
                let socket = UdpSocket::bind(at.as_str()).and_then(|socket| {
                    socket.set_read_timeout(Some(LOOK))?;
                    Ok(socket)
                });
                Form::Datagrams(socket.map_err(|e| format!("cannot listen there: {e}"))?)
            }
            Address::Ffmpeg(url) => Form::Ffmpeg(ffmpeg(url, pcm)?),
        };
        Ok(Self { form, buffer: vec![0; BUFFER] })
    }

    /// Whether it waits for others to come, and so is never dialled anew.
    pub(super) fn waits(&self) -> bool {
        matches!(self.form, Form::Listener(..) | Form::Datagrams(_))
    }

    /// What comes next, within a fifth of a second.
    pub(super) fn next(&mut self) -> Arrival<'_> {
        match &mut self.form {
            Form::Stream(stream) => read(stream, &mut self.buffer),
            Form::Listener(listener, client) => {
                let Some(stream) = client else {
                    *client = answer(listener);
                    if client.is_none() {
                        thread::sleep(LOOK);
                    }
                    return Arrival::Nothing;
                };
                match read(stream, &mut self.buffer) {
                    Arrival::Lost(_) => {
                        *client = None;
                        Arrival::Nothing
                    }
                    other => other,
                }
            }
            Form::Datagrams(socket) => match socket.recv(&mut self.buffer) {
                Ok(count) => {
                    Arrival::Sound { bytes: self.buffer.get(..count).unwrap_or_default(), whole: true }
                }
                Err(e) if is_timeout(&e) => Arrival::Nothing,
                Err(e) => Arrival::Lost(e.to_string()),
            },
            Form::Ffmpeg(ffmpeg) => match ffmpeg.pieces.recv_timeout(LOOK) {
                Ok(Ok(piece)) => {
                    self.buffer = piece;
                    Arrival::Sound { bytes: &self.buffer, whole: false }
                }
                Ok(Err(e)) => Arrival::Lost(e.to_string()),
                Err(RecvTimeoutError::Timeout) => Arrival::Nothing,
                Err(RecvTimeoutError::Disconnected) => {
                    let said = ffmpeg.said.lock().map(|said| said.clone()).unwrap_or_default();
                    Arrival::Lost(if said.is_empty() {
                        "ffmpeg ended".to_owned()
                    } else {
                        format!("ffmpeg: {said}")
                    })
                }
            },
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn read<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Arrival<'a> {
    match stream.read(buffer) {
        Ok(0) => Arrival::Lost("the other side hung up".to_owned()),
        Ok(count) => Arrival::Sound { bytes: buffer.get(..count).unwrap_or_default(), whole: false },
        Err(e) if is_timeout(&e) => Arrival::Nothing,
        Err(e) => Arrival::Lost(e.to_string()),
    }
}

fn dial(to: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in to.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LOOK))?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn answer(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    Some(stream)
}

fn ffmpeg(url: &str, PcmForm { rate, channels, format }: PcmForm) -> Result<Ffmpeg, String> {
    let format = match format {
        PcmFormat::S16le => "s16le",
        PcmFormat::F32le => "f32le",
    };
    let transport: &[&str] = if url.starts_with("rtsp") { &["-rtsp_transport", "tcp"] } else { &[] };
    let mut child = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
        .args(transport)
        .args(["-i", url, "-vn", "-f", format, "-ar", &rate.to_string(), "-ac", &channels.to_string(), "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("ffmpeg cannot be run: {e} (install ffmpeg)"))?;
    let said = Arc::new(Mutex::new(String::new()));
    if let Some(errors) = child.stderr.take() {
        let (said, secret) = (Arc::clone(&said), url.to_owned());
        let listen = move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if let Ok(mut said) = said.lock() {
                    *said = line.replace(&secret, "the url").chars().take(200).collect();
                }
            }
        };
        thread::Builder::new().name("ffmpeg says".into()).spawn(listen).map_err(|e| e.to_string())?;
    }
    let sound = child.stdout.take().ok_or("ffmpeg gives no sound")?;
    let pieces = read_aside(sound).map_err(|e| e.to_string())?;
    Ok(Ffmpeg { child, pieces, said })
}
