//! Senders of sound over a network, each with what goes wrong with its kind: they stall, trickle, cut in the middle of a frame,
//! leave connections half open, send garbage and start again.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cpc_stream::internal::capture::{Chunk, ChunkCoding, PcmForm};
use rumqttc::{Client, Event, MqttOptions, Outgoing, QoS};

use super::camera::Camera;

/// Seconds that a web stream gives at once when somebody connects.
pub const BURST_S: usize = 7;

/// What a sender does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It keeps its connection and sends nothing.
    Stall,
    /// It sends two or three frames a second.
    Trickle,
    /// It closes in the middle of a frame and is there again at once.
    Cut,
    /// It is gone without a word, and comes back by another connection while the old one stays.
    HalfOpen,
    /// It sends what is no sound.
    Garbage,
    /// It closes, and takes or makes no connection until the fault is over.
    Restart,
}

/// How a sender sends.
pub enum Kind {
    /// The daemon dials it; raw PCM.
    Serve(TcpListener),
    /// It dials the daemon at this port; raw PCM.
    Dial(u16),
    /// Datagrams to this port.
    Datagrams(UdpSocket, u16),
    /// A web stream without an end: WAV by HTTP.
    Web(TcpListener),
    /// A camera.
    Camera(Camera),
    /// Chunks over the broker.
    Microphone(Box<Client>, String),
}

impl Kind {
    /// What can go wrong with it.
    pub fn faults(&self) -> &'static [Fault] {
        use Fault::{Cut, Garbage, HalfOpen, Restart, Stall, Trickle};
        match self {
            Self::Serve(_) | Self::Dial(_) => &[Stall, Trickle, Cut, HalfOpen, Garbage, Restart],
            Self::Datagrams(..) => &[Stall, Trickle, Garbage, Restart],
            Self::Web(_) => &[Stall, Cut, Restart],
            Self::Camera(_) => &[Stall, Restart],
            Self::Microphone(..) => &[Stall, Garbage, Restart],
        }
    }

    /// Somewhere to listen for TCP, and the port of it.
    pub fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A microphone `id` on the broker at `port`.
    pub fn microphone(id: &str, port: u16) -> Self {
        let mut options = MqttOptions::new(format!("soak-{id}"), "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(60)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 2048);
        thread::spawn(move || {
            for event in connection.iter() {
                if matches!(event, Ok(Event::Outgoing(Outgoing::Disconnect))) {
                    break;
                }
            }
        });
        Self::Microphone(Box::new(client), format!("cpc-stream/mic/{id}/audio"))
    }
}

/// A sender at work. It ends when this goes.
pub struct Sender {
    fault: Arc<Mutex<Option<Fault>>>,
    /// What can go wrong with it.
    pub faults: Vec<Fault>,
}

impl Sender {
    /// Sends `samples` again and again, as floats where `float`, else as 16-bit integers, at 16 kHz in real time.
    pub fn start(kind: Kind, samples: &[i16], float: bool) -> Self {
        let fault = Arc::new(Mutex::new(None));
        let mut faults = kind.faults().to_vec();
        if !float && matches!(kind, Kind::Serve(_) | Kind::Dial(_)) {
            // integers are sound, whatever they are
            faults.retain(|&fault| fault != Fault::Garbage);
        }
        let bytes: Vec<u8> = if float {
            samples.iter().flat_map(|&x| (f32::from(x) / 32_768.0).to_le_bytes()).collect()
        } else {
            samples.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
        let watch = Arc::downgrade(&fault);
        let mut work = Work {
            kind,
            bytes,
            frame: if float { 4 } else { 2 },
            at: 0,
            begun: None,
            link: None,
            dead: Vec::new(),
            session: 1,
            first: 0,
            before: None,
        };
        thread::spawn(move || {
            while let Some(fault) = watch.upgrade() {
                let now = *fault.lock().unwrap();
                work.turn(now);
                drop(fault);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self { fault, faults }
    }

    /// What goes wrong from now on.
    pub fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }
}

struct Work {
    kind: Kind,
    bytes: Vec<u8>,
    frame: usize,
    at: usize,
    /// When it began to send without a pause, and frames since then.
    begun: Option<(Instant, u64)>,
    link: Option<TcpStream>,
    /// Connections that are never heard of again.
    dead: Vec<TcpStream>,
    session: u32,
    first: u64,
    before: Option<Fault>,
}

impl Work {
    fn turn(&mut self, fault: Option<Fault>) {
        let begins = fault.filter(|_| self.before != fault);
        let ended = self.before.filter(|_| fault.is_none());
        self.before = fault;
        if matches!((begins, ended), (Some(Fault::Trickle), _) | (_, Some(Fault::Trickle))) {
            self.begun = None;
        }
        match begins {
            Some(Fault::Cut) => {
                let part = self.bytes[..self.frame - 1].to_vec();
                self.send(&part);
                self.link = None;
            }
            Some(Fault::HalfOpen) => self.dead.extend(self.link.take()),
            Some(Fault::Restart) => {
                (self.link, self.session, self.first) = (None, self.session + 1, 0);
                self.dead.clear();
            }
            _ => {}
        }
        if let Kind::Camera(camera) = &self.kind {
            camera.freeze(fault == Some(Fault::Stall));
            if begins == Some(Fault::Restart) || ended == Some(Fault::Restart) {
                camera.switch_off(ended.is_none());
            }
            return;
        }
        self.connect(fault);
        match fault {
            None | Some(Fault::Cut) => {
                for piece in self.due() {
                    self.send(&piece);
                }
            }
            Some(Fault::Garbage) => self.spoil(),
            Some(Fault::Trickle) => {
                let (since, sent) = *self.begun.get_or_insert((Instant::now(), 0));
                if since.elapsed().as_millis() as u64 / 400 >= sent {
                    self.begun = Some((since, sent + 1));
                    self.send(&vec![0; self.frame]);
                }
            }
            Some(Fault::Stall) if matches!(self.kind, Kind::Microphone(..)) => {
                // what is not heard of it is missing from its session
                self.first += 320 * self.due().len() as u64;
            }
            // frames that were not sent are missing: what follows is the sound of then
            Some(_) => self.begun = None,
        }
    }

    fn connect(&mut self, fault: Option<Fault>) {
        let away = matches!(fault, Some(Fault::HalfOpen | Fault::Restart));
        let mut bursts = false;
        match &self.kind {
            Kind::Serve(listener) | Kind::Web(listener) => {
                // who dials something that is gone without a word has no answer
                while fault != Some(Fault::HalfOpen)
                    && let Ok((stream, _)) = listener.accept()
                {
                    if away {
                        continue;
                    }
                    stream.set_nonblocking(false).unwrap();
                    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                    let mut stream = stream;
                    if matches!(self.kind, Kind::Web(_)) && greet(&mut stream).is_err() {
                        continue;
                    }
                    (self.link, self.begun) = (Some(stream), None);
                    bursts = matches!(self.kind, Kind::Web(_));
                }
            }
            Kind::Dial(port) if self.link.is_none() && !away => {
                if let Ok(stream) = TcpStream::connect(("127.0.0.1", *port)) {
                    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                    (self.link, self.begun) = (Some(stream), None);
                }
            }
            _ => {}
        }
        if bursts {
            // as radios do, so that players can begin
            let burst = self.bytes[..BURST_S * 16_000 * self.frame].to_vec();
            self.send(&burst);
        }
    }

    /// The frames whose time has come, in pieces of 20 ms at most.
    fn due(&mut self) -> Vec<Vec<u8>> {
        let waits = matches!(self.kind, Kind::Serve(_) | Kind::Dial(_) | Kind::Web(_)) && self.link.is_none();
        if waits {
            self.begun = None;
            return Vec::new();
        }
        let (since, sent) = *self.begun.get_or_insert((Instant::now(), 0));
        let pieces = ((since.elapsed().as_secs_f64() * 50.0) as u64).saturating_sub(sent);
        self.begun = Some((since, sent + pieces));
        let size = 320 * self.frame;
        let mut next = || {
            let piece = self.bytes[self.at..self.at + size].to_vec();
            self.at = (self.at + size) % (self.bytes.len() - size);
            self.at -= self.at % size;
            piece
        };
        (0..pieces).map(|_| next()).collect()
    }

    fn send(&mut self, bytes: &[u8]) {
        match &self.kind {
            Kind::Datagrams(socket, port) => drop(socket.send_to(bytes, ("127.0.0.1", *port))),
            Kind::Microphone(client, topic) => {
                let chunk = Chunk {
                    pcm: PcmForm::default(),
                    session: self.session,
                    first: self.first,
                    delay_ms: 0,
                    bytes: bytes.into(),
                };
                let chunk = chunk.write(ChunkCoding::Pcm);
                let _ = client.try_publish(topic.as_str(), QoS::AtMostOnce, false, chunk);
                self.first += (bytes.len() / self.frame) as u64;
            }
            _ => {
                let sent = self.link.as_mut().is_none_or(|link| link.write_all(bytes).is_ok());
                if !sent {
                    self.link = None;
                }
            }
        }
    }

    /// What is no sound: floats that are no numbers, datagrams that are no frames, chunks that are none.
    fn spoil(&mut self) {
        let pieces = self.due().len();
        for _ in 0..pieces {
            match &self.kind {
                Kind::Datagrams(socket, port) => drop(socket.send_to(&[7; 319], ("127.0.0.1", *port))),
                Kind::Microphone(client, topic) => {
                    drop(client.try_publish(topic.as_str(), QoS::AtMostOnce, false, "nonsense"));
                    self.first += 320;
                }
                _ => self.send(&vec![0xff; 320 * self.frame]),
            }
        }
    }
}

/// Answers a request with the header of a WAV file without an end.
fn greet(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    match stream.read(&mut [0; 4096]) {
        Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
        _ => {}
    }
    stream.write_all(
        b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\nRIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0",
    )?;
    let (rate, bytes) = (16_000u32.to_le_bytes(), 32_000u32.to_le_bytes());
    stream.write_all(&[&[1, 0, 1, 0], &rate[..], &bytes, &[2, 0, 16, 0], b"data\xff\xff\xff\xff"].concat())
}
