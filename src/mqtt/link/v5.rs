//! MQTT 5.

use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, ConnectReturnCode, LastWill, PubAckReason, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as Invalid, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError};
use rumqttc::{Outgoing, TlsConfiguration, Transport};

use super::event::{LinkEvent, Message};
use super::options::{CONNECT_S, ConnectOptions, IN_FLIGHT, MAX_PACKET, REQUESTS};

pub(super) fn start(options: &ConnectOptions) -> (AsyncClient, EventLoop) {
    let mut to = MqttOptions::new(&options.client_id, &options.address.host, options.address.port);
    to.set_keep_alive(options.keep_alive);
    to.set_clean_start(options.session_expiry_s == 0);
    to.set_connection_timeout(CONNECT_S);
    to.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(options.session_expiry_s);
    properties.max_packet_size = u32::try_from(MAX_PACKET).ok();
    to.set_connect_properties(properties);
    if let Some((user, password)) = &options.login {
        to.set_credentials(user, password);
    }
    if let Some((topic, payload)) = &options.will {
        to.set_last_will(LastWill::new(topic, *payload, QoS::AtLeastOnce, options.will_kept, None));
    }
    if let Some(tls) = &options.tls {
        to.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    let mut network = to.network_options();
    network.set_connection_timeout(CONNECT_S);
    network.set_tcp_nodelay(true);
    to.set_network_options(network);
    AsyncClient::new(to, REQUESTS)
}

/// Properties of every document; for `kept` ones also their expiry.
pub(super) fn properties(options: &ConnectOptions, kept: bool) -> PublishProperties {
    PublishProperties {
        message_expiry_interval: Some(options.message_expiry_s).filter(|&s| kept && s > 0),
        user_properties: options.user_properties.clone(),
        ..PublishProperties::default()
    }
}

pub(super) fn link_event(event: Event) -> LinkEvent {
    match event {
        Event::Incoming(Incoming::ConnAck(ack)) => {
            let limits = ack.properties.as_ref();
            LinkEvent::Connected {
                window: limits.and_then(|limits| limits.receive_max).unwrap_or(u16::MAX),
                largest: limits.and_then(|limits| limits.max_packet_size),
                retains: limits.and_then(|limits| limits.retain_available) != Some(0),
                confirms: limits.and_then(|limits| limits.max_qos) != Some(0),
            }
        }
        Event::Incoming(Incoming::PubAck(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => LinkEvent::Acked(ack.pkid),
            reason => LinkEvent::Refused { id: ack.pkid, reason: format!("{reason:?}") },
        },
        Event::Incoming(Incoming::SubAck(ack)) => {
            let refusal = ack.return_codes.iter().find(|c| !matches!(c, SubscribeReasonCode::Success(_)));
            LinkEvent::Subscribed { id: ack.pkid, refused: refusal.map(|reason| format!("{reason:?}")) }
        }
        Event::Incoming(Incoming::Publish(message)) => LinkEvent::Message(Message {
            retained: message.retain,
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            payload: message.payload.into(),
        }),
        Event::Incoming(Incoming::Disconnect(goodbye)) => {
            LinkEvent::Disconnect(format!("the broker said goodbye ({:?})", goodbye.reason_code))
        }
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
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let more = reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            format!("the broker said goodbye ({reason_code:?}{more})")
        }
        // a receipt may give this reason, of which rumqttc does not know
        ConnectionError::MqttState(StateError::Deserialization(Invalid::InvalidConnectReturnCode(149))) => {
            "the broker takes no message as long as that (PacketTooLarge, 149)".into()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_too_long_message_is_reported_as_such() {
        let error = StateError::Deserialization(Invalid::InvalidConnectReturnCode(149));
        let text = reason(&ConnectionError::MqttState(error));
        assert!(text.contains("as long as that") && !text.contains("connect ="), "{text}");
    }
}
