//! Events of a connection, the same for both versions of MQTT.

/// A message of a subscription.
#[derive(Debug)]
pub(crate) struct Message {
    /// It is a retained message.
    pub(crate) retained: bool,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// Events of a connection.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The broker has taken us in: so many unconfirmed messages, so large a packet at most, whether it keeps messages
    /// (retained), and whether it gives receipts (QoS 1).
    Connected { window: u16, largest: Option<u32>, retains: bool, confirms: bool },
    /// A message that waits for its receipt went out under this packet id.
    Sent(u16),
    /// The broker has confirmed this packet id.
    Acked(u16),
    /// The broker refuses the message of this packet id, and why.
    Refused { id: u16, reason: String },
    /// The next packet id is still in use.
    Collision,
    /// The next subscription that was asked for went out under this packet id.
    Asked(u16),
    /// The broker has answered a subscription, with the reason of a refusal.
    Subscribed { id: u16, refused: Option<String> },
    /// A message of a subscription.
    Message(Message),
    /// The broker ends it.
    Disconnect(String),
    /// Our DISCONNECT has been sent.
    Left,
    /// Nothing that matters.
    Nothing,
}
