//! One connection to a broker through rumqttc: options that never change, and the task that polls it.
//!
//! MQTT 3.1.1 and 5 have types of their own in rumqttc. Here they become one type, [`LinkEvent`], so that one session serves
//! both.

mod event;
mod options;
mod tls;
mod v3;
mod v5;

use std::path::Path;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::access::{Protocol, TlsConfig};
use super::address::BrokerAddress;
use super::secret::read_password;
use crate::error::{Error, Result};
pub(crate) use event::{LinkEvent, Message};
pub(crate) use options::{ConnectOptions, Login};

/// Reason code (MQTT 5) when another client with the same id connects.
const TAKEN_OVER: &str = "SessionTakenOver";
/// Reason code (MQTT 5) of a broker without retained messages.
const KEEPS_NOTHING: &str = "RetainNotSupported";
/// Error of rumqttc for a packet beyond its limit.
const TOO_LARGE: &str = "payload size limit exceeded";

/// Whether a connection ended since another client with the same id took its place. Only MQTT 5 tells.
pub(crate) fn is_takeover(reason: &str) -> bool {
    reason.contains(TAKEN_OVER)
}

/// Whether a connection ended since the broker keeps no messages and was asked to. Only MQTT 5 tells.
pub(crate) fn keeps_nothing(reason: &str) -> bool {
    reason.contains(KEEPS_NOTHING)
}

/// Whether a connection was closed without a reason.
pub(crate) fn is_closed(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["closed", "reset", "eof"].iter().any(|word| reason.contains(word))
}

/// Whether a connection ended since a message came that is larger than this program takes.
pub(crate) fn is_too_large(reason: &str) -> bool {
    reason.to_lowercase().contains(TOO_LARGE)
}

/// Delivery of a message: QoS and retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// QoS 1, to be confirmed.
    Event,
    /// QoS 1, retained.
    State,
    /// QoS 1, the latest counts, for a broker that retains nothing.
    Unkept,
    /// QoS 0.
    Fleeting,
}

/// The sending side of a connection. Nothing in it waits; false where there is no room or no connection any more.
#[derive(Debug)]
pub(crate) enum Client {
    /// MQTT 3.1.1.
    V3(rumqttc::AsyncClient),
    /// MQTT 5.
    V5(Box<(rumqttc::v5::AsyncClient, ConnectOptions)>),
}

impl Client {
    pub(crate) fn publish(&self, travel: Delivery, topic: &str, payload: Vec<u8>) -> bool {
        let retain = travel == Delivery::State;
        match self {
            Self::V3(client) => {
                let qos = match travel {
                    Delivery::Fleeting => rumqttc::QoS::AtMostOnce,
                    _ => rumqttc::QoS::AtLeastOnce,
                };
                client.try_publish(topic, qos, retain, payload).is_ok()
            }
            Self::V5(client) => {
                use rumqttc::v5::mqttbytes::QoS;
                let (client, options) = client.as_ref();
                let qos = match travel {
                    Delivery::Fleeting => QoS::AtMostOnce,
                    _ => QoS::AtLeastOnce,
                };
                let properties = v5::properties(options, travel == Delivery::Event);
                client.try_publish_with_properties(topic, qos, retain, payload, properties).is_ok()
            }
        }
    }

    pub(crate) fn disconnect(&self) -> bool {
        match self {
            Self::V3(client) => client.try_disconnect().is_ok(),
            Self::V5(client) => client.0.try_disconnect().is_ok(),
        }
    }

    pub(crate) fn unsubscribe(&self, filter: &str) -> bool {
        match self {
            Self::V3(client) => client.try_unsubscribe(filter).is_ok(),
            Self::V5(client) => client.0.try_unsubscribe(filter).is_ok(),
        }
    }

    pub(crate) fn subscribe(&self, filter: &str) -> bool {
        match self {
            Self::V3(client) => client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).is_ok(),
            Self::V5(client) => {
                client.0.try_subscribe(filter, rumqttc::v5::mqttbytes::QoS::AtLeastOnce).is_ok()
            }
        }
    }
}

/// A connection of its own: client, event loop and state are never used again after an error.
pub(crate) struct Link {
    pub(crate) client: Client,
    /// Its events; the last is the reason of its end.
    pub(crate) events: UnboundedReceiver<Result<LinkEvent, String>>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect.
    pub(crate) fn start(options: &ConnectOptions) -> Self {
        let (sender, events) = unbounded_channel();
        // poll() is not cancel-safe while it connects: it has a task of its own, never a branch of select!
        macro_rules! poll {
            ($version:ident, $event_loop:ident) => {
                tokio::spawn(async move {
                    loop {
                        let link_event = match $event_loop.poll().await {
                            Ok(event) => Ok($version::link_event(event)),
                            Err(error) => Err($version::reason(&error)),
                        };
                        let failed = link_event.is_err();
                        if sender.send(link_event).is_err() || failed {
                            break;
                        }
                    }
                })
            };
        }
        match options.protocol {
            Protocol::V3 => {
                let (client, mut event_loop) = v3::start(options);
                Self { client: Client::V3(client), events, task: poll!(v3, event_loop) }
            }
            Protocol::V5 => {
                let (client, mut event_loop) = v5::start(options);
                let client = Client::V5(Box::new((client, options.clone())));
                Self { client, events, task: poll!(v5, event_loop) }
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the certificates and keys that a configuration names, as a start does.
///
/// # Errors
/// A configuration error that names the file.
pub(crate) fn check_encryption(broker: &str, config: &TlsConfig) -> Result<()> {
    let secure = BrokerAddress::parse(broker)?.tls;
    secure.then(|| tls::client(config)).transpose().map(drop)
}

/// Credentials: the address's user or `username`, with the password of the file.
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
