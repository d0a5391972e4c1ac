//! One connection to a broker through rumqttc: options that never change, and the task that polls it.

use std::path::Path;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::config::{BrokerAddress, read_password};
use crate::error::{Error, Result};

/// Longest packet in either direction, bytes (rumqttc alone would refuse past 10 KiB).
const MAX_PACKET: usize = 1 << 20;
/// Seconds for TCP, CONNECT and CONNACK together.
const CONNECT_S: u64 = 3;
/// Requests that rumqttc holds: the window and some QoS 0.
const REQUESTS: usize = 96;

/// User name and password.
pub(crate) type Login = Option<(String, String)>;

/// The options of a clean session. `client_id` decides whom the broker throws out: same id, older link.
pub(crate) fn options(
    address: &BrokerAddress,
    login: &Login,
    client_id: &str,
    keep_alive: Duration,
) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, &address.host, address.port);
    options.set_keep_alive(keep_alive);
    options.set_clean_session(true);
    options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    options
}

/// A connection of its own: client, event loop and state are never used again after an error.
pub(crate) struct Link {
    pub(crate) client: AsyncClient,
    pub(crate) events: UnboundedReceiver<Result<Event, ConnectionError>>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect.
    pub(crate) fn start(options: MqttOptions) -> Self {
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
        set_connect_timeout(&mut event_loop);
        let (sender, events) = unbounded_channel();
        // poll() is not cancel-safe while it connects: it has a task of its own, never a branch of select!
        let task = tokio::spawn(async move {
            loop {
                let event = event_loop.poll().await;
                let failed = event.is_err();
                if sender.send(event).is_err() || failed {
                    break;
                }
            }
        });
        Self { client, events, task }
    }
}

fn set_connect_timeout(event_loop: &mut EventLoop) {
    let mut network = event_loop.network_options();
    network.set_connection_timeout(CONNECT_S);
    network.set_tcp_nodelay(true);
    event_loop.set_network_options(network);
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who we are to the broker: the address's user or `username`, with the password of the file.
pub(crate) fn login(
    address: &BrokerAddress,
    username: Option<&str>,
    password_file: Option<&Path>,
) -> Result<Login> {
    let Some(user) = address.user.as_deref().or(username) else { return Ok(None) };
    let password = password_file.map(read_password).transpose()?.unwrap_or_default();
    Ok(Some((user.to_owned(), password)))
}

/// A runtime for one thread, network and timers.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Error::internal(format!("cannot start the network runtime: {error}")))
}
