//! MQTT 3.1.1.

use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, LastWill};
use rumqttc::{MqttOptions, Outgoing, QoS, SubscribeReasonCode, TlsConfiguration, Transport};

use super::event::{LinkEvent, Message};
use super::options::{CONNECT_S, ConnectOptions, IN_FLIGHT, MAX_INCOMING, MAX_PACKET, REQUESTS};

pub(super) fn start(options: &ConnectOptions) -> (AsyncClient, EventLoop) {
    let mut to = MqttOptions::new(&options.client_id, &options.address.host, options.address.port);
    to.set_keep_alive(options.keep_alive);
    to.set_clean_session(true);
    to.set_max_packet_size(MAX_INCOMING, MAX_PACKET);
    to.set_inflight(IN_FLIGHT);
    if let Some((user, password)) = &options.login {
        to.set_credentials(user, password);
    }
    if let Some((topic, payload)) = &options.will {
        to.set_last_will(LastWill::new(topic, *payload, QoS::AtLeastOnce, options.will_kept));
    }
    if let Some(tls) = &options.tls {
        to.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    let (client, mut event_loop) = AsyncClient::new(to, REQUESTS);
    let mut network = event_loop.network_options();
    network.set_connection_timeout(CONNECT_S);
    network.set_tcp_nodelay(true);
    event_loop.set_network_options(network);
    (client, event_loop)
}

pub(super) fn link_event(event: Event) -> LinkEvent {
    match event {
        Event::Incoming(Incoming::ConnAck(_)) => {
            LinkEvent::Connected { window: u16::MAX, largest: None, retains: true, confirms: true }
        }
        Event::Incoming(Incoming::PubAck(ack)) => LinkEvent::Acked(ack.pkid),
        Event::Incoming(Incoming::SubAck(ack)) => {
            let taken = ack.return_codes.iter().all(|c| matches!(c, SubscribeReasonCode::Success(_)));
            LinkEvent::Subscribed { id: ack.pkid, refused: (!taken).then(|| "0x80".to_owned()) }
        }
        Event::Incoming(Incoming::Publish(message)) => LinkEvent::Message(Message {
            retained: message.retain,
            topic: message.topic,
            payload: message.payload.into(),
        }),
        Event::Incoming(Incoming::Disconnect) => LinkEvent::Disconnect("the broker said goodbye".into()),
        Event::Outgoing(Outgoing::Publish(id)) if id != 0 => LinkEvent::Sent(id),
        Event::Outgoing(Outgoing::Subscribe(id)) => LinkEvent::Asked(id),
        Event::Outgoing(Outgoing::AwaitAck(_)) => LinkEvent::Collision,
        Event::Outgoing(Outgoing::Disconnect) => LinkEvent::Left,
        _ => LinkEvent::Nothing,
    }
}

pub(super) fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword) => {
            "it refuses user name or password (BadUserNamePassword)".into()
        }
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
            "it does not let this user in (NotAuthorized)".into()
        }
        other => other.to_string(),
    }
}
