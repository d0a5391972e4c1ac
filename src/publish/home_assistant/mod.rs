//! Home Assistant discovery: a device with entities for this node.
//!
//! One retained document on `<prefix>/device/<node>/config` ("device-based discovery") names all entities; their states
//! are the topics that everybody reads, their commands those that everybody may ask on, if `commands` allows them. It is
//! sent at each connection, and again with all states when Home Assistant says on `<prefix>/status` that it is back.
//!
//! The node also reads its own document as the broker kept it. An entity that no longer exists (of a removed stream, or
//! of a command that is not allowed any more) is published once more with its platform alone, which removes it from
//! Home Assistant. Where discovery has been switched off, the document is deleted.

mod config;
#[cfg(feature = "mqtt")]
mod discovery;
#[cfg(feature = "mqtt")]
mod document;

pub use config::{DiscoveryConfig, HomeAssistantConfig};
#[cfg(feature = "mqtt")]
pub(super) use discovery::{HomeAssistant, HomeAssistantMessage};

#[cfg(test)]
#[cfg(feature = "mqtt")]
mod tests;
