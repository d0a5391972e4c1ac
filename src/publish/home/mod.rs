//! Home Assistant: what it reads to make a device with entities of this node, and when it is told.
//!
//! One retained document on `<prefix>/device/<node>/config` ("device-based discovery") names all entities; their states
//! are the topics that everybody reads, their commands those that everybody may ask on, if `commands` allows them. It is
//! sent at each connection, and again with all states when Home Assistant says on `<prefix>/status` that it is back.
//!
//! The node also reads its own document as the broker kept it. An entity in it that is no more (a stream that was taken
//! out, a command that is no longer allowed) is named once more by its platform alone, which is how Home Assistant
//! learns to forget it. Where discovery has been switched off, the document is taken back.

mod config;
#[cfg(feature = "mqtt")]
mod document;
#[cfg(feature = "mqtt")]
mod door;

pub use config::{HomeAssistantConfig, Household};
#[cfg(feature = "mqtt")]
pub(super) use door::{Home, Word};

#[cfg(test)]
#[cfg(feature = "mqtt")]
mod tests;
