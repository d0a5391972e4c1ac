//! Brokers that refuse connections with a retained last will: the next connection asks for less.

use super::Session;
use crate::mqtt::link::{is_closed, keeps_nothing};

/// Connections in a row that are closed without an answer, after which a fault is reported.
const CLOSED: u32 = 4;

/// Name of the fault.
const ENTRY: &str = "entry";

const NOTHING_KEPT: &str = "it keeps no messages (retained), so that who connects later is not told of status, availability and \
                            health (mosquitto: retain_available true)";

impl Session {
    /// A broker without retained messages refuses a connection with a retained last will, with or without a reason. The
    /// next connection then has a last will that is not retained.
    pub(super) fn explain_no_entry(&mut self, reason: String) -> String {
        if self.was_up {
            return reason;
        }
        self.refused.closed = if is_closed(&reason) { self.refused.closed + 1 } else { 0 };
        let will_kept = &mut self.settings.options.will_kept;
        let hint = if keeps_nothing(&reason) {
            *will_kept = false;
            NOTHING_KEPT
        } else if self.refused.closed >= CLOSED {
            // the other kind of last will is tried next
            *will_kept = !*will_kept;
            "it closes each connection before it answers, as one does that takes no last will to be kept (mosquitto: \
             retain_available true), or that expects TLS"
        } else {
            return reason;
        };
        self.status.set_fault(ENTRY.to_owned(), format!("the broker refuses the connection: {hint}"));
        format!("{hint}; {reason}")
    }

    /// The broker has accepted the connection, and announces whether it retains messages.
    pub(super) fn enter(&mut self, retains: bool) {
        self.retains = retains && self.settings.options.will_kept;
        // with MQTT 3.1.1 it does not say; a broker that keeps messages by now is found at the next connection
        self.settings.options.will_kept = retains;
        if self.retains {
            self.refused.keeps_nothing = false;
            self.status.clear_fault(ENTRY);
            return;
        }
        self.status.set_fault(ENTRY.to_owned(), format!("the broker: {NOTHING_KEPT}"));
        if !std::mem::replace(&mut self.refused.keeps_nothing, true) {
            tracing::warn!(
                "connected to the broker: {NOTHING_KEPT}; events are published, other topics reach present subscribers only"
            );
        }
    }
}
