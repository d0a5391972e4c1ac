//! Raw PCM over TCP: outgoing and incoming connections.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::arrival::{Arrival, LOOK, is_timeout};

/// How long a connection may take.
const DIAL: Duration = Duration::from_secs(3);
/// A side that does not answer for so long is asked whether it is still there, and again after each interval.
const ASKED_AFTER: Duration = Duration::from_secs(10);
const ASKED_EACH: Duration = Duration::from_secs(5);
/// How long a listener without sound sleeps between two looks.
const NAP: Duration = Duration::from_millis(50);
/// A client that has been silent for so long is replaced by another that sends.
const TAKEOVER: Duration = Duration::from_secs(1);
/// A client that has been silent for so long is disconnected.
const IDLE: Duration = Duration::from_secs(30);
/// How long a client waits for another one to fall silent.
const WAIT: Duration = Duration::from_secs(10);
/// Timeout of the first byte of a client, without another active one.
const BEGIN: Duration = Duration::from_secs(600);
/// Clients that wait at once; the oldest goes.
const WAITING: usize = 8;

/// Dials a server.
pub(super) fn dial(to: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in to.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LOOK))?;
                keep_alive(&stream);
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// A box that loses its power never hangs up: the system finds out within a minute.
fn keep_alive(stream: &TcpStream) {
    let asked = TcpKeepalive::new().with_time(ASKED_AFTER).with_interval(ASKED_EACH);
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&asked) {
        tracing::debug!("no keepalive for a connection: {error}");
    }
}

/// Bytes of a connection, within [`LOOK`].
pub(super) fn read<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Arrival<'a> {
    match stream.read(buffer) {
        Ok(0) => Arrival::Lost("the other side hung up".to_owned()),
        Ok(count) => Arrival::Bytes(buffer.get(..count).unwrap_or_default()),
        Err(e) if is_timeout(&e) => Arrival::Nothing,
        Err(e) => Arrival::Lost(e.to_string()),
    }
}

/// Incoming clients. One is active while it sends. Others wait, and the newest of them that sends replaces an active
/// client that has fallen silent: a box that lost its power never closes its connection.
pub(super) struct Listener {
    socket: TcpListener,
    current: Option<Client>,
    waiting: Vec<Client>,
    /// Bytes of a frame.
    frame: usize,
    /// Bytes that were sent while another client was active, and are discarded now.
    stale: Option<u64>,
}

struct Client {
    stream: TcpStream,
    address: SocketAddr,
    /// When it came, or gave bytes last.
    active: Instant,
    /// The log says that another client is active.
    warned: bool,
}

impl Listener {
    /// Listens at an address for frames of so many bytes.
    pub(super) fn bind(at: &str, frame: usize) -> io::Result<Self> {
        let socket = TcpListener::bind(at)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, current: None, waiting: Vec::new(), frame: frame.max(1), stale: None })
    }

    /// The next read; [`Arrival::Sender`] where another client, or none, is active from here on.
    pub(super) fn next<'a>(&mut self, buffer: &'a mut [u8]) -> Arrival<'a> {
        self.accept();
        if self.current.as_ref().is_none_or(|client| client.active.elapsed() >= TAKEOVER)
            && let Some(at) = self.waiting.iter().rposition(Client::has_bytes)
        {
            return self.read_client(at);
        }
        let Some(client) = &mut self.current else {
            thread::sleep(NAP);
            return Arrival::Nothing;
        };
        if client.active.elapsed() >= IDLE {
            let why = format!("{} gave nothing for {} s", client.address, IDLE.as_secs());
            self.current = None;
            return Arrival::Sender(why);
        }
        let full = buffer.len();
        match read(&mut client.stream, buffer) {
            Arrival::Lost(why) => {
                let why = format!("{}: {why}", client.address);
                self.current = None;
                Arrival::Sender(why)
            }
            Arrival::Bytes(bytes) => {
                client.active = Instant::now();
                match self.stale {
                    None => Arrival::Bytes(bytes),
                    Some(before) => {
                        let all = before + bytes.len() as u64;
                        self.stale = (bytes.len() == full).then_some(all);
                        // what is left of the last frame, so that the next one begins where it should
                        let rest = (all % self.frame as u64) as usize;
                        match bytes.get(bytes.len().saturating_sub(rest)..) {
                            Some(rest) if self.stale.is_none() && !rest.is_empty() => Arrival::Bytes(rest),
                            _ => Arrival::Nothing,
                        }
                    }
                }
            }
            other => other,
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, address)) = self.socket.accept() {
            if stream.set_nonblocking(true).is_ok() {
                keep_alive(&stream);
                self.waiting.push(Client { stream, address, active: Instant::now(), warned: false });
            }
        }
        let talks = self.current.as_ref().map(|client| client.address);
        for client in &mut self.waiting {
            if let Some(talks) = talks
                && client.active.elapsed() >= TAKEOVER
                && !std::mem::replace(&mut client.warned, true)
            {
                tracing::warn!("a client at {} waits: {talks} is active on this port", client.address);
            }
        }
        let limit = if talks.is_some() { WAIT } else { BEGIN };
        self.waiting.retain(|client| client.is_there() && client.active.elapsed() < limit);
        let surplus = self.waiting.len().saturating_sub(WAITING);
        self.waiting.drain(..surplus);
    }

    fn read_client<'a>(&mut self, at: usize) -> Arrival<'a> {
        let mut client = self.waiting.remove(at);
        self.stale = (client.active.elapsed() >= TAKEOVER).then_some(0);
        client.active = Instant::now();
        let ready = client.stream.set_nonblocking(false);
        if ready.and_then(|()| client.stream.set_read_timeout(Some(LOOK))).is_err() {
            return Arrival::Nothing;
        }
        let before = self.current.replace(client);
        let address = self.current.as_ref().map(|client| client.address.to_string()).unwrap_or_default();
        let replaced = before.map(|before| format!(", and {} is let go: it fell silent", before.address));
        Arrival::Sender(format!("{address} is accepted{}", replaced.unwrap_or_default()))
    }
}

impl Client {
    fn has_bytes(&self) -> bool {
        matches!(self.stream.peek(&mut [0]), Ok(count) if count > 0)
    }

    fn is_there(&self) -> bool {
        match self.stream.peek(&mut [0]) {
            Ok(count) => count > 0,
            Err(e) => is_timeout(&e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_connections_are_asked_whether_they_are_there() {
        let mut listener = Listener::bind("127.0.0.1:0", 2).unwrap();
        let dialled = dial(&listener.socket.local_addr().unwrap().to_string()).unwrap();
        while listener.waiting.is_empty() {
            listener.accept();
        }
        for stream in [&dialled, &listener.waiting[0].stream] {
            let socket = SockRef::from(stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), ASKED_AFTER);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), ASKED_EACH);
        }
    }
}
