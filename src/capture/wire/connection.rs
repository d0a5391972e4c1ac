//! An open connection that gives bytes.

use std::io;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use super::super::config::RtspTransport;
use super::super::pcm::PcmForm;
use super::address::Address;
use super::arrival::{Arrival, LOOK, is_timeout};
use super::ffmpeg::{FIRST_SOUND, Ffmpeg};
use super::tcp::{self, Listener};

/// Most bytes of one read: the largest datagram.
const BUFFER: usize = 65_536;

/// Silence limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SilenceLimits {
    /// Before its first byte, until it is opened anew; none where it waits for others to come.
    pub(super) first: Option<Duration>,
    /// After that, until the source is offline.
    pub(super) quiet: Duration,
    /// And until it is opened anew.
    pub(super) lost: Option<Duration>,
}

/// An open connection.
pub(super) struct Connection {
    kind: Kind,
    buffer: Vec<u8>,
    limits: SilenceLimits,
}

enum Kind {
    Server(TcpStream),
    Clients(Listener),
    Datagrams(UdpSocket),
    Ffmpeg(Ffmpeg),
}

impl Connection {
    /// Opens `address`; the reason where it cannot.
    pub(super) fn open(address: &Address, pcm: PcmForm, transport: RtspTransport) -> Result<Self, String> {
        let cannot_listen = |e: io::Error| format!("cannot listen there: {e}");
        let kind = match address {
            Address::Dial(to) => Kind::Server(tcp::dial(to).map_err(|e| format!("no connection: {e}"))?),
            Address::Answer(at) => {
                Kind::Clients(Listener::bind(at, pcm.frame_bytes()).map_err(cannot_listen)?)
            }
            Address::Datagrams(at) => {
                let socket = UdpSocket::bind(at.as_str()).and_then(|socket| {
                    socket.set_read_timeout(Some(LOOK))?;
                    Ok(socket)
                });
                Kind::Datagrams(socket.map_err(cannot_listen)?)
            }
            Address::Ffmpeg(url) => Kind::Ffmpeg(Ffmpeg::start(url, pcm, transport)?),
        };
        Ok(Self { limits: limits(address), kind, buffer: vec![0; BUFFER] })
    }

    pub(super) fn limits(&self) -> SilenceLimits {
        self.limits
    }

    /// The next read, within a fifth of a second.
    pub(super) fn next(&mut self) -> Arrival<'_> {
        match &mut self.kind {
            Kind::Server(stream) => tcp::read(stream, &mut self.buffer),
            Kind::Clients(listener) => listener.next(&mut self.buffer),
            Kind::Datagrams(socket) => match socket.recv(&mut self.buffer) {
                Ok(count) => Arrival::Datagram(self.buffer.get(..count).unwrap_or_default()),
                Err(e) if is_timeout(&e) => Arrival::Nothing,
                Err(e) => Arrival::Lost(e.to_string()),
            },
            Kind::Ffmpeg(ffmpeg) => ffmpeg.next(),
        }
    }

    /// Bytes that came by way of ffmpeg.
    pub(super) fn transcoded(&self) -> Option<u64> {
        match &self.kind {
            Kind::Ffmpeg(ffmpeg) => Some(ffmpeg.bytes()),
            _ => None,
        }
    }

    /// The known cause of silence.
    pub(super) fn complaint(&self) -> Option<String> {
        match &self.kind {
            Kind::Ffmpeg(ffmpeg) => ffmpeg.complaint(),
            _ => None,
        }
    }
}

fn limits(address: &Address) -> SilenceLimits {
    let seconds = Duration::from_secs;
    let [first, quiet, lost] = match address {
        // whoever listens goes on listening
        Address::Answer(_) | Address::Datagrams(_) => {
            return SilenceLimits { first: None, quiet: seconds(2), lost: None };
        }
        Address::Dial(_) => [seconds(5), seconds(2), seconds(2)],
        // segments of web streams come all at once, every few seconds
        Address::Ffmpeg(url) if url.starts_with("http") => [FIRST_SOUND, seconds(3), seconds(15)],
        Address::Ffmpeg(_) => [FIRST_SOUND, seconds(2), seconds(5)],
    };
    SilenceLimits { first: Some(first), quiet, lost: Some(lost) }
}
