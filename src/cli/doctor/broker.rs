//! The broker, as `mqtt test` tries it.

use super::finding::Finding;
use crate::config::Config;

const CHECK: &str = "broker";

#[cfg(feature = "mqtt")]
pub(super) fn check(config: &Config) -> Finding {
    if config.publish.broker.is_none() {
        return none_named();
    }
    let trial = super::super::mqtt::try_broker(&config.publish, &config.node_id());
    match &trial.outcome {
        Ok(()) => Finding::ok(
            CHECK,
            format!("{}: a message to ourselves came back, {:.1} ms in all", trial.broker, trial.ms()),
        ),
        Err(error) => Finding::fail(CHECK, error),
    }
}

#[cfg(not(feature = "mqtt"))]
pub(super) fn check(config: &Config) -> Finding {
    match &config.publish.broker {
        None => none_named(),
        Some(_) => Finding::fail(
            CHECK,
            &crate::error::Error::config(
                "a broker is configured, but this program was built without MQTT",
                "build it with the feature `mqtt`, or leave the broker out",
            ),
        ),
    }
}

fn none_named() -> Finding {
    Finding::ok(CHECK, "none is named: events go to stdout, a JSON object a line")
}
