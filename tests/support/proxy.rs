//! A TCP proxy before a broker that does what networks and brokers do on bad days.
//!
//! What comes from a broker is passed on packet by packet, since moods concern packets of MQTT; what comes from another server as it is.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the proxy does from now on, to links that exist and to new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Lets everything through.
    Fair,
    /// Closes what is open and refuses what comes.
    Shut,
    /// Takes everything in and passes nothing on, in both directions: what a pulled cable looks like.
    Mute,
    /// Passes everything on after so many ms.
    Slow(u64),
    /// Resets the link in the middle of the next packet of the client that is longer than 200 bytes, then is fair.
    Tear,
    /// Swallows receipts (PUBACK).
    NoReceipts,
    /// Passes receipts on after so many ms, everything else at once.
    LateReceipts(u64),
    /// Passes receipts on four at a time, the last first.
    MixedReceipts,
}

/// The proxy. Its threads end with their connections.
pub struct Proxy {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    links: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Before the MQTT broker at `target`, fair at first.
    pub fn to(target: SocketAddr) -> Self {
        Self::start(target, downward)
    }

    /// Before a server of any protocol at `target`, fair at first. Moods that concern receipts change nothing.
    pub fn to_any(target: SocketAddr) -> Self {
        Self::start(target, upward)
    }

    fn start(target: SocketAddr, down: fn(TcpStream, TcpStream, &Mutex<Mood>)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = Arc::new(Mutex::new(Mood::Fair));
        let links: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (mine, all) = (mood.clone(), links.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut links = all.lock().unwrap();
                if *mine.lock().unwrap() == Mood::Shut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(target) else { continue };
                links.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (of_up, of_down) = (mine.clone(), mine.clone());
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || upward(from, to, &of_up));
                thread::spawn(move || down(server, client, &of_down));
            }
        });
        Self { port, mood, links }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same as a configuration has it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Changes what it does.
    pub fn set(&self, mood: Mood) {
        let mut links = self.links.lock().unwrap();
        *self.mood.lock().unwrap() = mood;
        if mood == Mood::Shut {
            for link in links.drain(..) {
                let _ = link.shutdown(Shutdown::Both);
            }
        }
    }

    /// Closes what is open; new links are let through.
    pub fn cut(&self) {
        self.set(Mood::Shut);
        self.set(Mood::Fair);
    }
}

/// From one end to the other, in chunks as they come.
fn upward(mut from: TcpStream, mut to: TcpStream, mood: &Mutex<Mood>) {
    let mut buffer = [0; 65_536];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            break;
        }
        let now = *mood.lock().unwrap();
        match now {
            Mood::Mute => continue,
            Mood::Slow(ms) => thread::sleep(Duration::from_millis(ms)),
            Mood::Tear if count > 200 => {
                *mood.lock().unwrap() = Mood::Fair;
                let _ = to.write_all(&buffer[..count - 100]);
                // unread bytes of the peer make this a reset, not an orderly end
                thread::sleep(Duration::from_millis(20));
                break;
            }
            _ => {}
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// From the broker to the client, packet by packet.
fn downward(mut from: TcpStream, to: TcpStream, mood: &Mutex<Mood>) {
    let out = Arc::new(Mutex::new(to));
    let mut held: Vec<Vec<u8>> = Vec::new();
    while let Some(packet) = packet(&mut from) {
        let receipt = packet[0] >> 4 == 4;
        let now = *mood.lock().unwrap();
        match now {
            Mood::Mute => continue,
            Mood::NoReceipts if receipt => continue,
            Mood::LateReceipts(ms) if receipt => {
                let out = out.clone();
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(ms));
                    let _ = out.lock().unwrap().write_all(&packet);
                });
                continue;
            }
            Mood::MixedReceipts if receipt => {
                held.insert(0, packet);
                if held.len() < 4 {
                    continue;
                }
            }
            Mood::Slow(ms) => {
                thread::sleep(Duration::from_millis(ms));
                held.push(packet);
            }
            _ => held.push(packet),
        }
        let mut out = out.lock().unwrap();
        if held.drain(..).any(|packet| out.write_all(&packet).is_err()) {
            break;
        }
    }
    let _ = out.lock().unwrap().shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// A whole MQTT packet.
fn packet(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![0];
    from.read_exact(&mut packet).ok()?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte).ok()?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + length, 0);
    from.read_exact(&mut packet[head..]).ok()?;
    Some(packet)
}
