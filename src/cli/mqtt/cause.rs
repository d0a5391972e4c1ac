//! Cause and fix of a failed step.

use std::io;

use crate::error::Error;

/// Where a trial is.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// HOST:PORT.
    pub(super) place: String,
    /// Whether it is encrypted.
    pub(super) tls: bool,
    /// As whom.
    pub(super) user: Option<String>,
    /// Where the message goes.
    pub(super) topic: String,
    /// Prefix of all topics of the node.
    pub(super) all: String,
}

pub(super) fn unknown_name(place: &str, reason: &str) -> Error {
    Error::broker(
        format!("the name in {place} is not found: {reason}"),
        "check the spelling of the host in publish.broker and the name server (`getent hosts NAME`), or give its address",
    )
}

pub(super) fn unreachable(place: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::broker(
            format!("nothing listens at {place}"),
            "start the broker there, check the port (1883, with TLS 8883) and that the broker listens on the network \
             (mosquitto: `listener 1883` in its configuration)",
        ),
        io::ErrorKind::TimedOut => Error::broker(
            format!("{place} does not answer"),
            "check that the machine is on and that no firewall is between",
        ),
        _ => Error::broker(
            format!("{place} cannot be reached: {error}"),
            "check the network of this machine (`ip route`) and the address of the broker",
        ),
    }
}

impl Stage {
    /// The connection did not come about.
    pub(super) fn not_let_in(&self, reason: &str) -> Error {
        let Self { place, .. } = self;
        let lower = reason.to_lowercase().replace(' ', "");
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let (cause, fix) = if has(&["badusernamepassword", "notauthorized"]) {
            return self.refused(reason);
        } else if has(&["unknownissuer"]) {
            (
                "the broker's certificate is signed by nobody whom this machine trusts",
                "name the broker's authority by publish.tls.ca_file, or install it (update-ca-certificates)",
            )
        } else if has(&["notvalidforname"]) {
            (
                "the broker's certificate is for another name",
                "write the name of the certificate into publish.broker, or into publish.tls.server_name",
            )
        } else if has(&["expired", "notvalidyet"]) {
            (
                "the broker's certificate is not valid now",
                "renew it, and check the clock of this machine (`timedatectl`)",
            )
        } else if has(&["certificaterequired", "peerrequires"]) {
            (
                "the broker asks for a certificate of ours",
                "set publish.tls.cert_file and publish.tls.key_file to one that its authority has signed",
            )
        } else if self.tls
            && has(&["corruptmessage", "invalidcontenttype", "invalidmessage", "unexpectedeof"])
        {
            (
                "what listens there speaks no TLS",
                "write mqtt:// for the port without TLS (1883), or name the port with TLS (8883)",
            )
        } else if self.tls && has(&["tls:", "alert"]) {
            ("no encrypted connection comes about", "see the broker's log, and the keys of [publish.tls]")
        } else if !self.tls && has(&["closed", "reset", "eof"]) {
            (
                "what listens there closes the connection",
                "write mqtts:// if that port speaks TLS; else see the broker's log",
            )
        } else if has(&["timeout"]) {
            (
                "something listens there, and does not answer as a broker does",
                "check that the port is the broker's; write mqtts:// if that port speaks TLS",
            )
        } else {
            ("no connection to the broker comes about", "see the broker's log")
        };
        Error::broker(format!("{place}: {cause} ({reason})"), fix)
    }

    fn refused(&self, reason: &str) -> Error {
        let Self { place, user, .. } = self;
        match user {
            Some(user) => Error::broker(
                format!("{place} refuses the user {user:?} or the password: {reason}"),
                "check publish.username and the first line of publish.password_file against the broker's \
                 (mosquitto: mosquitto_passwd -b FILE USER PASSWORD, then reload it)",
            ),
            None => Error::broker(
                format!("{place} takes nobody without a user name: {reason}"),
                "set publish.username and publish.password_file",
            ),
        }
    }

    pub(super) fn not_subscribed(&self, reason: &str) -> Error {
        let Self { place, topic, .. } = self;
        Error::broker(format!("{place} gives no subscription to {topic}: {reason}"), self.access())
    }

    pub(super) fn not_taken(&self, reason: &str) -> Error {
        let Self { place, topic, .. } = self;
        Error::broker(format!("{place} does not take a message on {topic}: {reason}"), self.access())
    }

    /// Brokers take what a rule forbids, and say nothing.
    pub(super) fn not_back(&self) -> Error {
        let Self { place, topic, .. } = self;
        Error::broker(
            format!("{place} took a message on {topic} and did not give it back within 5 s"),
            self.access(),
        )
    }

    /// Retained messages do not reach later subscribers.
    pub(super) fn not_kept(&self) -> Error {
        let Self { place, topic, .. } = self;
        Error::broker(
            format!(
                "{place} took a message to be kept (retained) on {topic} and does not keep it: who connects later is not told \
                     of status, availability and health"
            ),
            "allow retained messages at the broker (mosquitto: retain_available true)",
        )
    }

    /// The broker says so in its CONNACK.
    pub(super) fn too_small(&self, largest: u32) -> Error {
        let place = &self.place;
        Error::broker(
            format!(
                "{place} takes packets of {largest} bytes at most, event and health documents have some 2000"
            ),
            "raise the broker's limit (mosquitto: max_packet_size, message_size_limit)",
        )
    }

    /// It gives no receipts.
    pub(super) fn no_receipts(&self) -> Error {
        let place = &self.place;
        Error::broker(
            format!(
                "{place} gives no receipts (its highest QoS is 0), which events need to be kept until they have arrived"
            ),
            "allow QoS 1 at the broker (mosquitto: max_qos 1)",
        )
    }

    /// The will is refused, or what else is in CONNECT.
    pub(super) fn no_will(&self, reason: &str) -> Error {
        let Self { place, topic, .. } = self;
        Error::broker(
            format!(
                "{place} takes no last will on {topic}, by which others learn that this node is gone: {reason}"
            ),
            self.access(),
        )
    }

    fn access(&self) -> String {
        let all = &self.all;
        let who =
            self.user.as_ref().map_or_else(|| "everybody".to_owned(), |user| format!("the user {user}"));
        format!(
            "allow {who} to read and write {all}# in the broker's access rules (mosquitto: topic readwrite {all}#)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(tls: bool, user: Option<&str>) -> Stage {
        Stage {
            place: "b:1".into(),
            tls,
            user: user.map(str::to_owned),
            topic: "x/hall/test".into(),
            all: "x/hall/".into(),
        }
    }

    #[test]
    fn each_failure_has_its_own_fix() {
        for (tls, reason, word) in [
            (true, "TLS: I/O: invalid peer certificate: UnknownIssuer", "ca_file"),
            (true, "invalid peer certificate: certificate not valid for name \"b\"", "server_name"),
            (true, "invalid peer certificate: NotValidForName", "server_name"),
            (true, "invalid peer certificate: Expired", "clock"),
            (true, "I/O: received fatal alert: CertificateRequired", "cert_file"),
            (true, "TLS: I/O: received corrupt message of type InvalidContentType", "mqtt://"),
            (false, "Connection closed by peer abruptly", "mqtts://"),
            (false, "Network timeout", "the port is the broker's"),
            (false, "it does not let this user in (NotAuthorized)", "publish.username"),
        ] {
            let error = stage(tls, None).not_let_in(reason);
            assert!(error.fix().contains(word), "{reason}: {}", error.fix());
            assert!(error.to_string().contains(reason), "{error}");
        }
        let error = stage(false, Some("ear")).not_let_in("BadUserNamePassword");
        assert!(error.to_string().contains("\"ear\"") && error.fix().contains("password_file"));
        assert!(
            stage(false, Some("ear")).not_back().fix().contains("the user ear to read and write x/hall/#")
        );
    }
}
